//! Check that steps in half precision train as steps in f32 do.

use std::fs;
use std::path::Path;

use anyref_train::config::TrainConfig;
use anyref_train::run::checkpoint::newest;
use anyref_train::run::launch;
use serde_json::{Value, json};

use crate::support::{TrainBackend, alone, folders, stage, train_config, values, weights};

/// Losses by name, one row a step.
fn losses(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.filter(|row: &Value| row["kind"] == "train").collect()
}

#[test]
fn half_precision_learns_the_same() {
    let _turn = alone();
    let device = Default::default();
    let run = |precision: &str, stop: Option<u64>| {
        let mut asked = stage("instruct", 4, 2);
        asked["precision"] = json!(precision);
        asked["absent_weight"] = json!(0.1);
        let mut config = train_config(vec![asked]);
        // Squaring an estimate doubles its relative error: with seeds 3 and 5, "absent" is 2.3 and
        // 3.1 % off in bf16.
        config.seed = 7;
        let folder = tempfile::tempdir().unwrap();
        let mut done = false;
        while !done {
            done = launch::<TrainBackend>(&config, &folders(folder.path()), stop, &device).unwrap();
        }
        let model = fs::read(folder.path().join("model/model.safetensors")).unwrap();
        let last = newest(&folder.path().join("checkpoints")).unwrap().unwrap();
        let position = fs::read_to_string(last.join("position.json")).unwrap();
        (losses(folder.path()), model, position)
    };
    let (full, ..) = run("f32", None);
    assert!(full.iter().any(|row| row["absent"].is_number()));
    for (precision, tolerance) in [("bf16", 0.02), ("f16", 0.005)] {
        let (half, model, position) = run(precision, None);
        assert_eq!(half.len(), full.len());
        for (step, (half, full)) in half.iter().zip(&full).enumerate() {
            for name in ["language", "bce", "dice", "absent", "gradient_norm"] {
                // Not every step asks about an absent object.
                if name == "absent" && full[name].is_null() {
                    continue;
                }
                let [found, expected] = [half, full].map(|row| row[name].as_f64().unwrap());
                let error = (found - expected).abs() / expected;
                assert!(
                    error < tolerance,
                    "{precision}, step {step}, {name}: {found}, not {expected}"
                );
            }
            assert_eq!(half["loss_scale"].is_null(), precision == "bf16");
        }
        // A stop in between changes nothing, and the loss scale is continued.
        let (_, stopped, same) = run(precision, Some(2));
        assert!(stopped == model, "{precision}");
        assert_eq!(same, position);
        let scale = &serde_json::from_str::<Value>(&position).unwrap()["loss_scale"];
        match precision {
            "f16" => assert_eq!(scale["finite"], 4),
            _ => assert!(scale.is_null()),
        }
    }
}

/// The loss scale of an f16 run is not used by one in f32.
#[test]
fn a_run_goes_on_in_another_precision() {
    let _turn = alone();
    let device = Default::default();
    let folder = tempfile::tempdir().unwrap();
    let run = |precision: &str, stop: Option<u64>| {
        let mut asked = stage("instruct", 4, 2);
        asked["precision"] = json!(precision);
        let config = train_config(vec![asked]);
        launch::<TrainBackend>(&config, &folders(folder.path()), stop, &device).unwrap()
    };
    assert!(!run("f16", Some(2)));
    assert!(run("f32", None));
    let steps = losses(folder.path());
    let norms = steps
        .iter()
        .map(|row| row["gradient_norm"].as_f64().unwrap());
    assert!(norms.fold(0.0, f64::max) < 100.0, "{steps:?}");
    assert!(steps[3]["loss_scale"].is_null());
}

/// Parameters that a run never trains are held in half precision only, and are exported unchanged.
#[test]
fn frozen_weights_are_given_away_as_they_were() {
    let _turn = alone();
    let device = Default::default();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let go = |config: &TrainConfig, name: &str, stop: Option<u64>| {
        launch::<TrainBackend>(config, &folders(&at(name)), stop, &device).unwrap()
    };
    assert!(go(&train_config(vec![stage("sam", 1, 1)]), "first", None));
    let start = at("first/model");
    let asked = |precision: &str, steps: u64| {
        let mut asked = stage("instruct", steps, 2);
        asked["precision"] = json!(precision);
        asked["trainable"] = json!(["text_hidden_fcs", "mask_decoder"]);
        asked
    };
    let mut config = train_config(vec![asked("bf16", 4)]);
    config.start = Some(start.clone());
    assert!(go(&config, "run", None));
    assert!(!go(&config, "stopped", Some(2)));
    assert!(go(&config, "stopped", None));

    // A later stage in f32 needs all weights, so none is narrowed.
    let mut wide = train_config(vec![asked("bf16", 4), asked("f32", 1)]);
    wide.start = config.start.clone();
    assert!(!go(&wide, "wide", Some(4)));
    let without_times = |name: &str| {
        let rows = losses(&at(name)).into_iter();
        rows.map(|row| ["language", "bce", "dice", "gradient_norm"].map(|name| row[name].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(without_times("run"), without_times("wide"));
    assert_eq!(without_times("run"), without_times("stopped"));

    let file = |folder: &Path| values(&folder.join("model.safetensors"));
    let (given, made) = (file(&start), file(&at("run/model")));
    assert!(made == file(&at("stopped/model")));
    assert_eq!(given.len(), made.len());
    let mut changed = 0;
    for ((name, before), (_, after)) in given.iter().zip(&made) {
        let trained = name.contains("text_hidden_fcs") || name.contains("mask_decoder");
        assert!(trained || before == after, "{name}");
        changed += usize::from(before != after);
    }
    assert!(changed > 4, "{changed}");
    // Checkpoints do not contain them.
    let kept = weights(&at("run"));
    assert!(kept.iter().all(|(name, _)| !name.contains("vision_tower")));
}

#[test]
fn other_stages_take_no_precision() {
    let mut asked = stage("sam", 1, 1);
    asked["precision"] = json!("bf16");
    let error = train_config(vec![asked]).check().unwrap_err();
    assert!(error.to_string().contains("only instruct"), "{error}");
    let mut asked = stage("instruct", 1, 1);
    asked["precision"] = json!("bf16");
    asked["features"] = json!({ "folder": "kept", "gigabytes": 1.0 });
    let error = train_config(vec![asked]).check().unwrap_err();
    assert!(error.to_string().contains("do not go together"), "{error}");
}
