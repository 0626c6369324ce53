//! The shipped model on the GPU against the same on the processor, by the real program.
#![cfg(feature = "vulkan")]

mod common;

use std::path::Path;

use anyref_decoder::rle::Rle;
use serde_json::Value;

/// An answer that every part of the model but the describing of boxes has a hand in.
fn answer(backend: &str, dtype: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
    let asked = ["--text", "the gorilla", "--audio", "scene1-4-1.wav"];
    let mut arguments = vec!["segment", "--image", "scene1.jpg", "--json"];
    arguments.extend(asked);
    arguments.extend(["--backend", backend, "--dtype", dtype]);
    serde_json::from_str(&common::succeed(&folder, &arguments)).unwrap()
}

#[test]
fn vulkan_answers_as_the_processor_does() {
    compare("f32", 0.99);
}

/// Weights and values in half precision.
#[test]
fn vulkan_answers_in_half_precision_or_says_that_it_cannot() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
    let arguments = ["info", "--backend", "vulkan", "--dtype", "f16"];
    let run = common::run_in(&folder, &arguments, "");
    match run.code {
        Some(0) => compare("f16", 0.98),
        _ => {
            let line = run.stderr.trim();
            assert!(line.contains("does not compute in f16"), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }
}

fn compare(dtype: &str, least: f64) {
    let (expected, found) = (answer("flex", "f32"), answer("vulkan", dtype));
    println!("flex {expected}\nvulkan {found}");
    assert_eq!(found["backend"], "vulkan");
    assert_eq!(found["text"], expected["text"]);
    let masks = |answer: &Value| answer["masks"].as_array().unwrap().clone();
    let (found, expected) = (masks(&found), masks(&expected));
    assert_eq!(found.len(), expected.len());
    assert!(!found.is_empty());
    for (found, expected) in found.into_iter().zip(expected) {
        let [found, expected] =
            [found, expected].map(|mask| serde_json::from_value::<Rle>(mask).unwrap());
        let iou = found.iou(&expected).unwrap();
        assert!(iou >= least, "IoU {iou}");
    }
}
