//! COCO's instances, pairs of pictures, folds and parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyref_data::datasets::{
    AnnotationId, Coco, CocoFile, CocoOptions, CocoPairs, Dataset, Error, FoldPart, Grouping,
    PairOptions, Reference, fold_categories, open_fold,
};
use serde_json::{Value, json};

use crate::support::{compare_all, described, expected, folder, json_file, opened, shape};

fn open(options: &CocoOptions) -> Coco {
    Coco::open(&folder("coco"), "tiny2017", options).unwrap()
}

fn file() -> Arc<CocoFile> {
    let path = folder("coco").join("annotations/instances_tiny2017.json");
    Arc::new(CocoFile::open(&path).unwrap())
}

#[test]
fn things_are_grouped_by_picture_and_category() {
    let root = folder("coco");
    let wanted = &expected("coco")["items"];
    compare_all(&open(&CocoOptions::default()), wanted, &root);
    let each = open(&CocoOptions {
        grouping: Grouping::Each,
        ..CocoOptions::default()
    });
    for (index, wanted) in wanted.as_array().unwrap().iter().enumerate() {
        let item = each.item(index, 0).unwrap();
        let masks: Vec<_> = item
            .targets
            .iter()
            .map(|t| shape(&t.shape, item.size))
            .collect();
        assert_eq!(json!(masks), wanted["each"]);
    }
}

#[test]
fn crowds_small_things_and_categories_are_filtered() {
    let crowds = open(&CocoOptions {
        crowds: true,
        ..CocoOptions::default()
    });
    assert_eq!(crowds.item(0, 0).unwrap().annotations, [1000, 1001, 1003]);

    let wanted = &expected("coco")["items"];
    let least = 0.1;
    let large = open(&CocoOptions {
        min_area: least,
        grouping: Grouping::Each,
        ..CocoOptions::default()
    });
    let kept: Vec<&Value> = wanted
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["area"].as_f64().unwrap() >= least)
        .collect();
    assert!(kept.len() < wanted.as_array().unwrap().len() && !kept.is_empty());
    let found: Vec<_> = (0..large.len())
        .map(|i| large.item(i, 0).unwrap().id)
        .collect();
    let kept: Vec<_> = kept
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    assert_eq!(found, kept);

    let dogs = open(&CocoOptions {
        categories: [18].into(),
        ..CocoOptions::default()
    });
    assert_eq!(dogs.len(), 3);
    let nothing = CocoOptions {
        categories: [5].into(),
        ..CocoOptions::default()
    };
    let error = Coco::open(&folder("coco"), "tiny2017", &nothing);
    assert!(matches!(error, Err(Error::Nothing { .. })));
}

#[test]
fn examples_are_alone_large_and_fill_their_box() {
    let images = folder("coco").join("tiny2017");
    let pairs = CocoPairs::new("pairs", &images, file(), PairOptions::default()).unwrap();
    assert_eq!(json!(pairs.examples()), expected("coco")["examples"]);
}

#[test]
fn a_picture_is_asked_for_by_another_of_the_same_category() {
    let images = folder("coco").join("tiny2017");
    let options = PairOptions {
        mask_crop_probability: 0.5,
        seed: 3,
        ..PairOptions::default()
    };
    let pairs = CocoPairs::new("pairs", &images, file(), options).unwrap();
    let document = folder("coco").join("annotations/instances_tiny2017.json");
    let annotations = json_file(&document)["annotations"].clone();
    let annotations = annotations.as_array().unwrap();
    let (mut masked, mut shown, rounds) = (0, BTreeSet::new(), 40);
    for index in 0..pairs.len() {
        for draw in 0..rounds {
            let item = pairs.item(index, draw).unwrap();
            assert_eq!(item, pairs.item(index, draw).unwrap());
            let [
                Reference::Image {
                    path,
                    size: Some(size),
                    region: Some(region),
                },
            ] = &item.references[..]
            else {
                panic!("{:?}", item.references)
            };
            assert_ne!(*path, item.image);
            let name = path.file_name().unwrap().to_str().unwrap();
            let image: i64 = name.trim_end_matches(".jpg").parse().unwrap();
            let asked = json!(item.annotations[0]);
            let asked = annotations.iter().find(|a| a["id"] == asked).unwrap();
            let category = asked["category_id"].as_i64().unwrap();
            let example = annotations
                .iter()
                .find(|a| a["image_id"] == image && a["category_id"] == category)
                .unwrap();
            let id: AnnotationId = serde_json::from_value(example["id"].clone()).unwrap();
            assert!(pairs.examples()[&category].contains(&id));
            let [x, y, w, h]: [f64; 4] = serde_json::from_value(example["bbox"].clone()).unwrap();
            assert_eq!(region.area, [x, y, x + w, y + h]);
            if let Some(mask) = &region.mask {
                masked += 1;
                assert_eq!(
                    mask.rasterise(*size).unwrap().area() as f64,
                    example["area"].as_f64().unwrap()
                );
            }
            shown.insert((index, image));
        }
    }
    let share = f64::from(masked) / (pairs.len() as f64 * rounds as f64);
    assert!((0.35..0.65).contains(&share), "{share}");
    // Dogs are in three pictures and cars in two, and each can refer.
    assert!(shown.len() > pairs.len(), "{shown:?}");
    // The only toothbrush has no other picture to refer to it.
    assert!((0..pairs.len()).all(|i| pairs.item(i, 0).unwrap().targets[0].phrase != "toothbrush"));

    let never = CocoPairs::new("pairs", &images, file(), PairOptions::default()).unwrap();
    let described = described(&never.item(0, 0).unwrap(), &folder("coco"));
    assert!(described["references"][0].get("mask").is_none());
    let wrong = PairOptions {
        mask_crop_probability: 1.5,
        ..PairOptions::default()
    };
    assert!(matches!(
        CocoPairs::new("p", &images, file(), wrong),
        Err(Error::Options(_))
    ));
}

#[test]
fn folds_take_every_fourth_category() {
    // COCO's 80 categories have numbers up to 90, with gaps.
    let gaps = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83];
    let numbers: Vec<i64> = (1..=90).filter(|id| !gaps.contains(id)).collect();
    let categories: Vec<Value> = numbers
        .iter()
        .map(|id| json!({"id": id, "name": id.to_string()}))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("instances.json");
    let document = json!({"images": [], "annotations": [], "categories": categories});
    std::fs::write(&path, document.to_string()).unwrap();
    let file = CocoFile::open(&path).unwrap();
    let fold = |fold, part| fold_categories(&file, fold, part).unwrap();
    // Category numbers of COCO-20i's fold 0, as its authors list them.
    let first = [
        1, 5, 9, 14, 18, 22, 27, 33, 37, 41, 46, 50, 54, 58, 62, 67, 74, 78, 82, 87,
    ];
    assert_eq!(fold(0, FoldPart::Test), first.into());
    let mut all = BTreeSet::new();
    for number in 0..4 {
        let (test, train) = (fold(number, FoldPart::Test), fold(number, FoldPart::Train));
        assert_eq!((test.len(), train.len()), (20, 60));
        assert!(test.is_disjoint(&train));
        all.extend(test);
    }
    assert_eq!(all, numbers.into_iter().collect());
    assert!(matches!(
        fold_categories(&file, 4, FoldPart::Test),
        Err(Error::Options(_))
    ));
}

#[test]
fn a_fold_asks_only_for_its_own() {
    let open = |fold, part| {
        open_fold(
            &folder("coco"),
            "tiny2017",
            fold,
            part,
            PairOptions::default(),
        )
    };
    // Of the six categories here, the first and the fifth are in fold 0.
    let pairs = open(0, FoldPart::Test).unwrap();
    for index in 0..pairs.len() {
        let phrase = pairs.item(index, 0).unwrap().targets[0].phrase.clone();
        assert_eq!(phrase, "dog");
    }
    assert!(matches!(
        open(1, FoldPart::Test),
        Err(Error::Nothing { .. })
    ));
    let others = open(0, FoldPart::Train).unwrap();
    assert_eq!(others.item(0, 0).unwrap().targets[0].phrase, "car");
}

#[test]
fn parts_are_named_in_both_ways() {
    let (paco, pascal) = (folder("paco"), folder("pascal_part"));
    let sets = [
        (
            json!({"root": paco, "split": "train", "coco": paco.join("coco")}),
            &paco,
            "paco",
        ),
        (
            json!({"root": pascal, "split": "train"}),
            &pascal,
            "pascal_part",
        ),
    ];
    for (options, root, name) in sets {
        let set = opened(json!({name: options})).unwrap();
        let wanted = expected(name);
        assert_eq!(set.len(), 2);
        for (index, wanted) in wanted.as_array().unwrap().iter().enumerate() {
            let mut texts = BTreeSet::new();
            for draw in 0..20 {
                let found = described(&set.item(index, draw).unwrap(), root);
                for key in ["id", "image", "size", "task", "annotations"] {
                    assert_eq!(found[key], wanted[key]);
                }
                let text = found["references"][0]["text"].as_str().unwrap().to_owned();
                assert_eq!(found["targets"], json!([[text, wanted["mask"]]]));
                texts.insert(text);
            }
            assert_eq!(json!(texts), wanted["texts"]);
        }
    }
}
