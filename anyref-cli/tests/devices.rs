//! The shipped model on the GPU against the same on the processor, by the real program.
#![cfg(feature = "vulkan")]

mod common;

use std::path::Path;

use anyref_decoder::rle::Rle;
use serde_json::Value;

/// An answer that every part of the model but the describing of boxes has a hand in.
fn answer(backend: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
    let asked = ["--text", "the gorilla", "--audio", "scene1-4-1.wav"];
    let mut arguments = vec!["segment", "--image", "scene1.jpg", "--json"];
    arguments.extend(asked);
    arguments.extend(["--backend", backend]);
    serde_json::from_str(&common::succeed(&folder, &arguments)).unwrap()
}

#[test]
fn vulkan_answers_as_the_processor_does() {
    let (expected, found) = (answer("flex"), answer("vulkan"));
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
        assert!(iou >= 0.99, "IoU {iou}");
    }
}
