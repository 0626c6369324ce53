//! Label maps: ADE20K, COCO-Stuff.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyref_data::datasets::{Dataset, Error, Item, LabelMap, Which};
use serde_json::json;

use crate::support::{compare, counts, expected, folder, opened};

/// Distinct items over several draws.
fn drawn(dataset: &dyn Dataset) -> BTreeMap<String, Item> {
    let mut items = BTreeMap::new();
    for index in 0..dataset.len() {
        for draw in 0..40 {
            let item = dataset.item(index, draw).unwrap();
            assert_eq!(item, dataset.item(index, draw).unwrap());
            items.insert(item.id.clone(), item);
        }
    }
    items
}

#[track_caller]
fn check(dataset: &dyn Dataset, wanted: &serde_json::Value, root: &Path) {
    let items = drawn(dataset);
    let wanted = wanted.as_array().unwrap();
    assert_eq!(items.len(), wanted.len(), "{:?}", items.keys());
    for wanted in wanted {
        compare(&items[wanted["id"].as_str().unwrap()], wanted, root);
    }
}

#[test]
fn ades_classes_are_drawn_and_small_ones_are_not() {
    let root = folder("ade20k");
    // The second picture has no class and is replaced by the first.
    let open = |min_area: f64| -> Arc<dyn Dataset> {
        let options = json!({"root": root, "split": "training", "min_area": min_area});
        opened(json!({"ade20k": options})).unwrap()
    };
    let ade = open(0.01);
    assert_eq!(ade.len(), 2);
    check(&*ade, &expected("ade20k")["semantic"], &root);
    let all = drawn(&*open(0.0));
    assert_eq!(all["ADE_train_00000001/3"].masks().unwrap()[0].area(), 1);
    let none = open(0.99);
    assert!(matches!(none.item(0, 0), Err(Error::Nothing { .. })));
}

#[test]
fn ades_things_are_told_apart() {
    let root = folder("ade20k");
    let open = |min_area: f64| -> Arc<dyn Dataset> {
        let options = json!({
            "root": root, "split": "training", "grouping": "each", "min_area": min_area
        });
        opened(json!({"ade20k_instances": options})).unwrap()
    };
    check(&*open(0.01), &expected("ade20k")["instances"], &root);
    // Only the larger window is over a fifth of the picture.
    let large = drawn(&*open(0.2));
    assert_eq!(large["ADE_train_00000001/2"].targets.len(), 1);
}

#[test]
fn names_of_stuff_that_are_no_words_are_left_out() {
    let root = folder("coco_stuff");
    let open = |compounds: bool| -> Arc<dyn Dataset> {
        let coco = root.join("coco");
        let options = json!({
            "root": root, "split": "train2017", "coco": coco, "compounds": compounds
        });
        opened(json!({"coco_stuff": options})).unwrap()
    };
    let wanted = expected("coco_stuff");
    check(&*open(true), &wanted, &root);
    let words = json!([wanted[0], wanted[1]]);
    check(&*open(false), &words, &root);
}

#[test]
fn palettes_are_read_as_indices_and_bits_as_pixels() {
    // Grey values and bits of S4, indices of MS3.
    let s4 = folder("avsbench/Single-source/s4_data/gt_masks/val/playing_piano/v2");
    let bits = LabelMap::open(&s4.join("v2_2.png")).unwrap();
    assert_eq!(bits.size(), [40, 30]);
    assert_eq!(bits.counts(0).keys().copied().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(bits.mask(Which::Bright), bits.mask(Which::NotZero));
    let ms3 = folder("avsbench/Multi-sources/ms3_data/gt_masks/train/m1/m1_1.png");
    let indices = LabelMap::open(&ms3).unwrap();
    assert_eq!(
        indices.counts(0).keys().copied().collect::<Vec<_>>(),
        [0, 1, 2]
    );
    // Neither colour of its palette is bright.
    assert_eq!(indices.mask(Which::Bright).area(), 0);
    assert_eq!(
        counts(&indices.mask(Which::Label(2))),
        counts(&indices.mask(Which::Colour([0, 128, 0])))
    );
}

#[test]
fn maps_that_are_no_pictures_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.png");
    std::fs::write(&path, "no picture").unwrap();
    let line = LabelMap::open(&path).unwrap_err().to_string();
    assert!(line.contains("map.png") && !line.contains('\n'), "{line}");
}
