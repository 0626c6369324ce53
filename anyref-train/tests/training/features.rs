//! Check that cached features equal computed ones.

use std::fs;
use std::path::Path;

use anyref_train::run::launch;
use serde_json::{Value, json};

use crate::support::{TrainBackend, alone, folders, stage, train_config};

fn asked(features: Option<&Path>) -> Value {
    let mut asked = stage("instruct", 4, 2);
    if let Some(folder) = features {
        asked["features"] = json!({ "folder": folder, "gigabytes": 1.0 });
    }
    asked
}

fn files(folder: &Path) -> usize {
    let encoders = fs::read_dir(folder).unwrap();
    encoders
        .map(|encoder| fs::read_dir(encoder.unwrap().path()).unwrap().count())
        .sum()
}

#[test]
fn a_stage_learns_the_same_from_kept_features() {
    let _turn = alone();
    let device = Default::default();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let run = |name: &str, features: Option<&Path>| {
        let run = folders(&folder.path().join(name));
        let config = train_config(vec![stage("sam", 1, 1), asked(features)]);
        assert!(launch::<TrainBackend>(&config, &run, None, &device).unwrap());
        fs::read(run.run.join("model/model.safetensors")).unwrap()
    };
    let (computed, first) = (run("computed", None), run("first", Some(&cache)));
    // Two of 8 scenes for training and two for validation, each for CLIP; for SAM only with a
    // target.
    let kept = files(&cache);
    assert!((11..=20).contains(&kept), "{kept}");
    let second = run("second", Some(&cache));
    assert_eq!(files(&cache), kept);
    assert!(computed == first && first == second, "the models differ");
}

#[test]
fn encoders_that_are_trained_are_not_kept() {
    let _turn = alone();
    let device = Default::default();
    let folder = tempfile::tempdir().unwrap();
    let mut both = asked(Some(folder.path()));
    both["trainable"] = json!(["^anyref\\.llm\\.", "vision_tower.*mlp"]);
    let refused = |stage: Value| {
        let run = folders(&folder.path().join("run"));
        let config = train_config(vec![stage]);
        let error = launch::<TrainBackend>(&config, &run, Some(1), &device).unwrap_err();
        format!("{error:#}")
    };
    let message = refused(both);
    assert!(message.contains("anyref.vision_tower.*"), "{message}");
    let mut clip = stage("clip", 1, 1);
    clip["features"] = json!({ "folder": "x", "gigabytes": 1.0 });
    let message = refused(clip);
    assert!(message.contains("no `features`"), "{message}");
}
