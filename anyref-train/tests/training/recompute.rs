//! What is computed again for the gradient is what was computed before.

use std::fs;

use anyref_train::run::launch::launch;
use serde_json::json;

use crate::support::{TrainBackend, alone, folders, stage, train_config};

#[test]
fn a_stage_learns_the_same_with_less_memory() {
    let _turn = alone();
    let device = Default::default();
    let run = |recompute: bool| {
        let mut asked = stage("instruct", 3, 2);
        asked["recompute"] = json!(recompute);
        let mut config = train_config(vec![stage("sam", 1, 1), asked, stage("clip", 1, 1)]);
        config.model.lora = Some(Default::default());
        let folder = tempfile::tempdir().unwrap();
        assert!(launch::<TrainBackend>(&config, &folders(folder.path()), None, &device).unwrap());
        fs::read(folder.path().join("model/model.safetensors")).unwrap()
    };
    assert!(run(false) == run(true));
}

#[test]
fn other_stages_take_no_recompute() {
    let mut asked = stage("sam", 1, 1);
    asked["recompute"] = json!(true);
    let error = train_config(vec![asked]).check().unwrap_err();
    assert!(error.to_string().contains("only instruct"), "{error}");
}
