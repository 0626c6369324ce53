//! Files written by version 0.1.0 are read by the current program (docs/compatibility.md).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

mod common;

#[cfg(feature = "train")]
use common::copy_folder;

/// Path of a file or folder written by version 0.1.0.
fn written(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/written_by_0_1_0")
        .join(name)
}

/// Output of a command that succeeds.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn anyref() -> Command {
    Command::new(env!("CARGO_BIN_EXE_anyref"))
}

#[test]
fn a_model_folder_answers() {
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo/scene1.jpg");
    let mut segment = anyref();
    segment.args(["segment", "--json", "--text", "the gorilla"]);
    segment.arg("--image").arg(picture);
    segment.arg("--model").arg(written("model"));
    let answer: Value = serde_json::from_str(&output(&mut segment)).unwrap();
    assert_eq!(answer["model"], "tiny");
    assert!(
        answer["text"].is_string() && answer["masks"].is_array(),
        "{answer}"
    );
}

#[test]
fn predictions_are_scored_as_before() {
    let mut score = anyref();
    score.args(["score", "refcoco", "--json", "--targets"]);
    score.arg(written("predictions/targets.jsonl"));
    score
        .arg("--predictions")
        .arg(written("predictions/predictions.jsonl"));
    let before = fs::read_to_string(written("predictions/score.json")).unwrap();
    assert_eq!(output(&mut score), before);
}

#[cfg(feature = "train")]
#[test]
fn a_run_goes_on_from_its_checkpoint_with_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    copy_folder(&written("run"), &run);
    let mut train = anyref();
    train
        .arg("train")
        .arg("--config")
        .arg(written("config.json"));
    output(train.arg("--run").arg(&run));

    let lines = |path: PathBuf| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let before = lines(written("run/metrics.jsonl")).len();
    let added = lines(run.join("metrics.jsonl")).split_off(before);
    let expected = lines(written("resumed.jsonl"));
    assert_eq!(added.len(), expected.len());
    for (added, expected) in added.iter().zip(&expected) {
        for (name, expected) in expected.as_object().unwrap() {
            let clocked = ["seconds", "stalled", "stall_share", "tokens_per_second"];
            if clocked.contains(&name.as_str()) {
                continue;
            }
            match expected.as_f64() {
                Some(expected) => {
                    let number = added[name].as_f64().unwrap_or(f64::NAN);
                    let error = (number - expected).abs();
                    assert!(
                        error <= 1e-3 * expected.abs().max(1e-3),
                        "{name}: {number}, {expected}"
                    );
                }
                None => assert_eq!(&added[name], expected, "{name}"),
            }
        }
    }
    assert!(run.join("model/model.safetensors").is_file());
}
