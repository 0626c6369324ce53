//! Steps in half precision learn what steps in f32 do.

use std::fs;
use std::path::Path;

use anyref_train::run::launch::launch;
use serde_json::{Value, json};

use crate::support::{TrainBackend, alone, folders, stage, train_config};

/// Losses by name, a row a step.
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
        let config = train_config(vec![asked]);
        let folder = tempfile::tempdir().unwrap();
        let mut done = false;
        while !done {
            done = launch::<TrainBackend>(&config, &folders(folder.path()), stop, &device).unwrap();
        }
        let model = fs::read(folder.path().join("model/model.safetensors")).unwrap();
        (losses(folder.path()), model)
    };
    let (full, _) = run("f32", None);
    for (precision, tolerance) in [("bf16", 0.02), ("f16", 0.005)] {
        let (half, model) = run(precision, None);
        assert_eq!(half.len(), full.len());
        for (step, (half, full)) in half.iter().zip(&full).enumerate() {
            for name in ["language", "bce", "dice", "absent", "gradient_norm"] {
                // Not every step asks about something absent.
                let Some(expected) = full[name].as_f64() else {
                    continue;
                };
                let found = half[name].as_f64().unwrap();
                let error = (found - expected).abs() / expected;
                assert!(
                    error < tolerance,
                    "{precision}, step {step}, {name}: {found}, not {expected}"
                );
            }
            assert_eq!(half["loss_scale"].is_null(), precision == "bf16");
        }
        // A stop in between changes nothing, the scale of the loss included.
        assert!(run(precision, Some(2)).1 == model, "{precision}");
    }
}

#[test]
fn other_stages_take_no_precision() {
    let mut asked = stage("sam", 1, 1);
    asked["precision"] = json!("bf16");
    let error = train_config(vec![asked]).check().unwrap_err();
    assert!(error.to_string().contains("only instruct"), "{error}");
}
