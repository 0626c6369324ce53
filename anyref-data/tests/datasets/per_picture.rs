//! Data sets that count each picture once, whatever is asked about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyref_data::datasets::{Dataset, Error, Mixture, Per, WeightedSource, missing_files};
use serde_json::{Value, json};

use crate::support::{copy, folder};

fn open(source: &Value, per: &str) -> Arc<dyn Dataset> {
    let source = json!({ "source": source, "per": per });
    let source: WeightedSource = serde_json::from_value(source).unwrap();
    source.open(7).unwrap()
}

/// RefCLEF's `testB`: two instances in the first picture, with one sentence and with two; one in
/// the second, with three.
fn refclef(describe: bool) -> Value {
    json!({ "refer": {
        "root": folder("refer"), "name": "refclef", "split_by": "unc", "split": "testB", "describe": describe
    } })
}

/// Number of draws of each item of a picture.
fn drawn(dataset: &dyn Dataset, picture: usize, draws: u64) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for draw in 0..draws {
        let item = dataset.item(picture, draw).unwrap();
        assert_eq!(item, dataset.item(picture, draw).unwrap());
        *counts.entry(item.id).or_default() += 1;
    }
    counts
}

#[track_caller]
fn shares(counts: &BTreeMap<String, u64>, expected: &[(&str, f64)]) {
    let all: u64 = counts.values().sum();
    assert_eq!(counts.len(), expected.len(), "{counts:?}");
    for (id, share) in expected {
        let found = counts[*id] as f64 / all as f64;
        assert!((found - share).abs() < 0.05, "{counts:?}");
    }
}

#[test]
fn a_thing_is_drawn_and_then_one_of_its_sentences() {
    let source = refclef(false);
    let (plain, by_picture) = (open(&source, "item"), open(&source, "picture"));
    assert_eq!((plain.len(), by_picture.len()), (6, 2));
    assert_eq!(plain.files(), by_picture.files());
    assert_ne!(plain.name(), by_picture.name());
    let first = drawn(&*by_picture, 0, 4000);
    shares(
        &first,
        &[("43/506", 0.5), ("44/507", 0.25), ("44/508", 0.25)],
    );
    let third = 1.0 / 3.0;
    let second = drawn(&*by_picture, 1, 4000);
    shares(
        &second,
        &[("45/509", third), ("45/510", third), ("45/511", third)],
    );
    assert!(matches!(by_picture.item(2, 0), Err(Error::Index { .. })));

    // Descriptions have one item an instance.
    let by_picture = open(&refclef(true), "picture");
    assert_eq!(by_picture.len(), 2);
    shares(&drawn(&*by_picture, 0, 4000), &[("43", 0.5), ("44", 0.5)]);
}

#[test]
fn an_epoch_has_each_picture_once_and_seed_and_epoch_decide_what_is_asked() {
    let epochs = |seed| -> Vec<String> {
        let mixture = Mixture::proportional(vec![open(&refclef(false), "picture")], seed).unwrap();
        assert_eq!(mixture.len(), 2);
        let epoch = |epoch| {
            let samples = mixture.order(epoch, 0, 1).unwrap().samples;
            let pictures: BTreeSet<usize> = samples.iter().map(|sample| sample.index).collect();
            assert_eq!(pictures, [0, 1].into());
            let ids = samples
                .into_iter()
                .map(|sample| mixture.item(sample).unwrap().id);
            ids.collect::<Vec<_>>()
        };
        (0..40).flat_map(epoch).collect()
    };
    let asked = epochs(1);
    assert_eq!(asked, epochs(1));
    assert_ne!(asked, epochs(2));
    // After enough epochs everything was asked.
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), 6);
}

#[test]
fn pictures_are_put_together_by_every_reader() {
    for source in [
        json!({ "coco": { "root": folder("coco"), "split": "tiny2017" } }),
        json!({ "coco_pairs": { "root": folder("coco"), "split": "tiny2017", "mask_crop_probability": 0.5 } }),
        json!({ "grefcoco": { "root": folder("grefcoco"), "split": "train" } }),
        json!({ "phrase_cut": { "root": folder("phrase_cut"), "split": "train" } }),
        json!({ "reason_seg": { "root": folder("reason_seg"), "split": "val" } }),
        json!({ "visual_genome": { "root": folder("visual_genome") } }),
        json!({ "own": { "file": folder("own").join("good.jsonl") } }),
    ] {
        let (plain, by_picture) = (open(&source, "item"), open(&source, "picture"));
        let mut items: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
        for index in 0..plain.len() {
            let item = plain.item(index, 0).unwrap();
            items.entry(item.image).or_default().insert(item.id);
        }
        assert_eq!(by_picture.len(), items.len(), "{source}");
        for picture in 0..by_picture.len() {
            let image = by_picture.item(picture, 0).unwrap().image;
            let found: BTreeSet<String> = drawn(&*by_picture, picture, 300).into_keys().collect();
            assert_eq!(found, items[&image], "{source}");
        }
    }
    // These items are pictures already, except for the classes of a list.
    let ade = json!({ "ade20k": { "root": folder("ade20k"), "split": "training" } });
    assert_eq!(open(&ade, "picture").len(), open(&ade, "item").len());
    let pascal = json!({ "pascal_5i": {
        "root": folder("pascal_5i"), "fold": 0, "part": "train", "mask_crop_probability": 0.0
    } });
    let plain = open(&pascal, "item");
    let pictures: BTreeSet<PathBuf> = (0..plain.len())
        .map(|index| plain.item(index, 0).unwrap().image)
        .collect();
    assert_eq!(open(&pascal, "picture").len(), pictures.len());
}

#[test]
fn no_file_is_opened_for_it() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    copy(&folder("avsbench/Single-source"), root);
    let masks = root.join("s4_data/gt_masks/val/playing_piano/v2");
    fs::remove_dir_all(&masks).unwrap();
    let frames = open(
        &json!({ "avs_s4": { "root": root, "split": "val" } }),
        "picture",
    );
    // All missing files are still listed at once.
    assert_eq!((frames.len(), missing_files(&*frames).len()), (5, 5));

    let file = root.join("mine.jsonl");
    let line = r#"{"image": "none.png", "references": [{"text": "a"}], "answer": "a."}"#;
    fs::write(&file, format!("{line}\n{line}\n")).unwrap();
    let own = open(&json!({ "own": { "file": file } }), "picture");
    assert_eq!((own.len(), missing_files(&*own).len()), (1, 1));
}

#[test]
fn items_count_where_nothing_is_said() {
    let source = json!({ "source": { "own": { "file": "a.jsonl" } } });
    let read: WeightedSource = serde_json::from_value(source.clone()).unwrap();
    assert_eq!((read.per, read.weight), (Per::Item, None));
    // Runs from before the field existed can be resumed.
    let written = serde_json::to_value(&read).unwrap();
    assert!(written.get("per").is_none(), "{written}");
    let mut wrong = source;
    wrong["per"] = json!("sentence");
    let error = serde_json::from_value::<WeightedSource>(wrong).unwrap_err();
    assert!(error.to_string().contains("sentence"), "{error}");
}
