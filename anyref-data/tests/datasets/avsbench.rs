//! AVSBench's three parts.

use std::path::Path;

use anyref_data::datasets::Error;
use serde_json::{Value, json};

use crate::support::{compare_all, expected, folder, opened, refused};

/// Part of AVSBench by its name in a configuration.
fn part(name: &str, root: &Path, split: &str) -> Value {
    json!({name: {"root": root, "split": split}})
}

#[test]
fn frames_sounds_and_masks_are_those_of_the_loaders() {
    let root = folder("avsbench");
    let cases = expected("avsbench");
    assert_eq!(cases.as_object().unwrap().len(), 6);
    for (name, wanted) in cases.as_object().unwrap() {
        let (set, split) = name.split_once(' ').unwrap();
        let dataset = match set {
            "s4" => part("avs_s4", &root.join("Single-source"), split),
            "ms3" => part("avs_ms3", &root.join("Multi-sources"), split),
            _ => part("avs_semantic", &root.join("AVSS"), split),
        };
        compare_all(&*opened(dataset).unwrap(), wanted, &root);
    }
}

#[test]
fn silent_frames_have_no_target() {
    let root = folder("avsbench/Single-source");
    let s4 = opened(part("avs_s4", &root, "val")).unwrap();
    let targets: Vec<_> = (0..5)
        .map(|i| s4.item(i, 0).unwrap().targets.len())
        .collect();
    assert_eq!(targets, [1, 1, 0, 1, 1]);
}

#[test]
fn splits_and_columns_that_are_not_there_are_named() {
    let root = folder("avsbench/Multi-sources");
    let line = refused(part("avs_ms3", &root, "val"));
    assert!(
        matches!(&line, Error::Split { known, .. } if known == "test, train"),
        "{line}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ms3_meta_data.csv");
    std::fs::write(&path, "name,start\nm1,3\n").unwrap();
    let line = refused(part("avs_ms3", folder.path(), "train")).to_string();
    assert!(
        line.contains("ms3_meta_data.csv") && line.contains("`split`"),
        "{line}"
    );
    std::fs::write(&path, "name,start,split\nm1,3,train\nm2,3\n").unwrap();
    let line = refused(part("avs_ms3", folder.path(), "train")).to_string();
    assert!(line.contains("ms3_meta_data.csv:3:"), "{line}");
}
