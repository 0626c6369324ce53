//! The shipped model on the GPU against the same on the processor, by the real program.
#![cfg(feature = "vulkan")]

mod common;

use anyref_decoder::rle::{Merge, Rle};
use serde_json::Value;

/// The answers of the demonstration.
fn tasks(backend: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--out", "demo", "--backend", backend];
    println!("{}", common::succeed(folder.path(), &arguments));
    let report = std::fs::read(folder.path().join("demo/answers.json")).unwrap();
    let mut report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["backend"], backend);
    serde_json::from_value(report["tasks"].take()).unwrap()
}

fn masks(task: &Value) -> Vec<Rle> {
    serde_json::from_value(task["masks"].clone()).unwrap()
}

#[test]
fn the_demonstration_is_the_same_on_vulkan() {
    let (expected, found) = (tasks("flex"), tasks("vulkan"));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found["answer"], expected["answer"], "{}", found["question"]);
        let (ours, theirs) = (masks(found), masks(expected));
        assert_eq!(ours.len(), theirs.len());
        if ours.is_empty() {
            continue;
        }
        let union = |masks: &[Rle]| Rle::merge(masks, Merge::Union).unwrap();
        let iou = union(&ours).iou(&union(&theirs)).unwrap();
        assert!(iou >= 0.99, "{}: IoU {iou}", found["question"]);
    }
}
