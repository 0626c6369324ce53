//! Weights kept in half precision answer as those in f32 do.

mod common;

use std::path::Path;

use anyref_decoder::rle::Rle;
use common::{folder, run_in, succeed};
use serde_json::Value;

/// All answers of the demonstration, with weights kept as `dtype`.
fn answers(folder: &Path, dtype: &str) -> Vec<Value> {
    succeed(folder, &["demo", "--out", dtype, "--dtype", dtype]);
    let json = std::fs::read(folder.join(dtype).join("answers.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    json["tasks"].as_array().unwrap().clone()
}

fn masks(task: &Value) -> Vec<Rle> {
    let masks = task["masks"].as_array().unwrap();
    masks
        .iter()
        .map(|mask| serde_json::from_value(mask.clone()).unwrap())
        .collect()
}

#[test]
fn the_demonstration_has_the_same_words_and_masks_in_every_type() {
    let folder = folder();
    let expected = answers(folder.path(), "f32");
    assert!(expected.len() >= 30);
    for dtype in ["auto", "f16", "bf16"] {
        let found = answers(folder.path(), dtype);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let question = &expected["question"];
            assert_eq!(found["answer"], expected["answer"], "{dtype} {question}");
            let (found, expected) = (masks(found), masks(expected));
            assert_eq!(found.len(), expected.len(), "{dtype} {question}");
            for (found, expected) in found.iter().zip(&expected) {
                let iou = found.iou(expected).unwrap();
                assert!(iou >= 0.98, "{dtype} {question}: IoU {iou}");
            }
        }
    }
}

#[test]
fn an_unknown_type_is_named_with_those_there_are() {
    let folder = folder();
    let run = run_in(folder.path(), &["demo", "--dtype", "fp8"], "");
    let error = run.stderr;
    assert_eq!(run.code, Some(2));
    assert!(error.contains("\"fp8\""), "{error}");
    assert!(error.contains("auto, f32, f16 or bf16"), "{error}");
}
