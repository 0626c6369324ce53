//! Answers of the demonstration, to compare ways of computing them.

use std::path::Path;

use anyref_decoder::rle::Rle;
use serde_json::Value;

/// All answers of the demonstration, with these options.
pub fn answers(folder: &Path, options: &[&str]) -> Vec<Value> {
    let out = folder.join("demonstration");
    let demo = ["demo", "--out", "demonstration"];
    super::succeed(folder, &[&demo, options].concat());
    let json = std::fs::read(out.join("answers.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    std::fs::remove_dir_all(out).unwrap();
    let answers = json["tasks"].as_array().unwrap().clone();
    assert!(answers.len() >= 30);
    answers
}

fn masks(answer: &Value) -> Vec<Rle> {
    let masks = answer["masks"].as_array().unwrap();
    masks
        .iter()
        .map(|mask| serde_json::from_value(mask.clone()).unwrap())
        .collect()
}

/// Asserts that words are equal, and masks with an IoU of at least `least`; returns the lowest IoU.
pub fn assert_same(found: &[Value], expected: &[Value], least: f64) -> f64 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected).map(|(found, expected)| {
        assert_eq!(
            found["answer"], expected["answer"],
            "{}",
            expected["question"]
        );
        assert_same_masks(found, expected, least)
    });
    pairs.fold(1.0, f64::min)
}

/// Asserts that two answers have equal masks, with an IoU of at least `least`; returns the lowest
/// IoU.
pub fn assert_same_masks(found: &Value, expected: &Value, least: f64) -> f64 {
    let question = &expected["question"];
    let (found, expected) = (masks(found), masks(expected));
    assert_eq!(found.len(), expected.len(), "{question}");
    let pairs = found.iter().zip(&expected).map(|(found, expected)| {
        let iou = found.iou(expected).unwrap();
        assert!(iou >= least, "{question}: IoU {iou}");
        iou
    });
    pairs.fold(1.0, f64::min)
}
