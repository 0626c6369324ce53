//! The demonstration's answers, to compare ways of computing them.

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

/// Asserts that words are the same, and masks, to this IoU at least; returns the lowest there is.
pub fn assert_same(found: &[Value], expected: &[Value], least: f64) -> f64 {
    assert_eq!(found.len(), expected.len());
    let mut lowest = 1.0f64;
    for (found, expected) in found.iter().zip(expected) {
        let question = &expected["question"];
        assert_eq!(found["answer"], expected["answer"], "{question}");
        let (found, expected) = (masks(found), masks(expected));
        assert_eq!(found.len(), expected.len(), "{question}");
        for (found, expected) in found.iter().zip(&expected) {
            let iou = found.iou(expected).unwrap();
            assert!(iou >= least, "{question}: IoU {iou}");
            lowest = lowest.min(iou);
        }
    }
    lowest
}
