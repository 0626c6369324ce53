//! PASCAL-5i by HSNet's rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyref_data::datasets::{
    Dataset, EPISODES, EpisodeOptions, Error, FoldPart, Item, Pascal5i, Reference, Task,
};
use serde_json::{Value, json};

use crate::support::{counts, expected, folder, shape};

fn options(fold: usize, part: FoldPart) -> EpisodeOptions {
    EpisodeOptions {
        fold,
        part,
        mask_crop_probability: 0.0,
        seed: 0,
    }
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(folder("pascal_5i")).unwrap();
    path.to_str().unwrap().replace('\\', "/")
}

/// Compares an item with a line of the list, and returns the picture of its example.
#[track_caller]
fn compare(item: &Item, line: &Value, boxes: &Value) -> String {
    assert_eq!(item.task, Task::Image);
    assert_eq!(json!(relative(&item.image)), line["picture"]);
    let masks = item.masks().unwrap();
    assert_eq!(masks.len(), 1);
    assert_eq!(json!(counts(&masks[0])), line["mask"]);
    let border = item.ignore.as_ref().unwrap();
    assert_eq!(json!(shape(border, item.size)), line["border"]);
    assert_eq!(Some(&item.targets[0].phrase), item.category.as_ref());
    let [Reference::Image { path, region, .. }] = &item.references[..] else {
        panic!("{:?}", item.references)
    };
    let example = relative(path);
    let others = line["examples"].as_array().unwrap();
    assert!(others.contains(&json!(example)), "{example}: {others:?}");
    let region = region.as_ref().unwrap();
    let area = &boxes[format!("{example} {}", line["class"])];
    assert_eq!(json!(region.area.map(|side| side as i64)), *area);
    example
}

#[test]
fn a_fold_is_tested_in_a_thousand_episodes() {
    let root = folder("pascal_5i");
    let expected = expected("pascal_5i");
    let lines = expected["lists"]["val0"].as_array().unwrap();
    let set = Pascal5i::open(&root, options(0, FoldPart::Test)).unwrap();
    assert_eq!((set.len(), EPISODES), (1000, 1000));
    let (mut ids, mut drawn) = (BTreeSet::new(), vec![BTreeSet::new(); lines.len()]);
    for index in 0..60 {
        let (item, place) = (set.item(index, 0).unwrap(), index % lines.len());
        drawn[place].insert(compare(&item, &lines[place], &expected["boxes"]));
        assert_eq!(item, set.item(index, 0).unwrap());
        assert!(item.files().iter().all(|path| set.files().contains(path)));
        ids.insert(item.id);
    }
    assert_eq!(ids.len(), 60);
    // Every other picture of the class is an example in some episode; another seed draws others.
    for (drawn, line) in drawn.iter().zip(lines) {
        assert_eq!(drawn.len(), line["examples"].as_array().unwrap().len());
    }
    let other = EpisodeOptions {
        seed: 1,
        ..options(0, FoldPart::Test)
    };
    let other = Pascal5i::open(&root, other).unwrap();
    assert!((0..60).any(|index| other.item(index, 0).unwrap() != set.item(index, 0).unwrap()));
    assert!(matches!(set.item(1000, 0), Err(Error::Index { .. })));
    assert_eq!(
        set.item(0, 0).unwrap().category.as_deref(),
        Some("aeroplane")
    );
}

#[test]
fn other_folds_are_learned_from() {
    let expected = expected("pascal_5i");
    let set = Pascal5i::open(&folder("pascal_5i"), options(0, FoldPart::Train)).unwrap();
    let lists = ["trn1", "trn2", "trn3"].map(|list| expected["lists"][list].as_array().unwrap());
    let lines: Vec<&Value> = lists.into_iter().flatten().collect();
    assert_eq!(set.len(), lines.len());
    for (index, line) in lines.into_iter().enumerate() {
        compare(&set.item(index, 0).unwrap(), line, &expected["boxes"]);
    }
    let masked = EpisodeOptions {
        mask_crop_probability: 1.0,
        ..options(0, FoldPart::Train)
    };
    let masked = Pascal5i::open(&folder("pascal_5i"), masked).unwrap();
    let item = masked.item(0, 0).unwrap();
    let Reference::Image { size, region, .. } = &item.references[0] else {
        panic!("{:?}", item.references)
    };
    let mask = region.as_ref().unwrap().mask.as_ref().unwrap();
    assert!(mask.rasterise(size.unwrap()).unwrap().area() > 0);
}

#[test]
fn lists_that_are_missing_or_wrong_are_named() {
    let open = |root: &Path, fold| {
        let error = Pascal5i::open(root, options(fold, FoldPart::Test)).unwrap_err();
        let line = error.to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    };
    let fixture = folder("pascal_5i");
    assert!(open(&fixture, 4).contains("folds 0 to 3"));
    // The fixture has no pixel of the classes 16 to 20.
    assert!(open(&fixture, 3).contains("fold 3 has no item"));
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    let line = open(root, 0);
    assert!(
        line.contains("fold0.txt") && line.contains("HSNet"),
        "{line}"
    );
    let lists = root.join("data/splits/pascal/val");
    fs::create_dir_all(&lists).unwrap();
    for wrong in ["2007_000033", "2007_000033__x", "2007_000033__06", "__01"] {
        fs::write(
            lists.join("fold0.txt"),
            format!("2007_000061__04\n{wrong}\n"),
        )
        .unwrap();
        let line = open(root, 0);
        assert!(
            line.contains("fold0.txt:2") && line.contains("1 to 5"),
            "{line}"
        );
    }
    // HSNet's own layout has VOC2012 beside the lists.
    for part in ["JPEGImages", "SegmentationClassAug"] {
        let (from, to) = (fixture.join("VOCdevkit/VOC2012"), root.join("VOC2012"));
        fs::create_dir_all(to.join(part)).unwrap();
        for entry in fs::read_dir(from.join(part)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(part).join(entry.file_name())).unwrap();
        }
    }
    fs::write(
        lists.join("fold0.txt"),
        "2007_000061__04\n2009_000730__04\n",
    )
    .unwrap();
    let set = Pascal5i::open(root, options(0, FoldPart::Test)).unwrap();
    assert!(
        set.item(0, 0)
            .unwrap()
            .image
            .starts_with(root.join("VOC2012"))
    );
    // The label map lacks the class.
    fs::write(
        lists.join("fold0.txt"),
        "2007_000061__01\n2009_000730__01\n",
    )
    .unwrap();
    let set = Pascal5i::open(root, options(0, FoldPart::Test)).unwrap();
    let line = set.item(0, 0).unwrap_err().to_string();
    assert!(
        line.contains(".png") && line.contains("aeroplane"),
        "{line}"
    );
}
