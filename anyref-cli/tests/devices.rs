//! Shipped model on the GPU against the CPU, by the real program.
#![cfg(all(
    feature = "flex",
    any(feature = "wgpu", feature = "vulkan", feature = "cuda")
))]

mod common;

use std::path::{Path, PathBuf};

use common::demonstration;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo")
}

/// Answer that involves every part of the model except descriptions of boxes.
fn answer(backend: &str, dtype: &str) -> Value {
    let asked = ["--text", "the gorilla", "--audio", "scene1-4-1.wav"];
    let mut arguments = vec!["segment", "--image", "scene1.jpg", "--json"];
    arguments.extend(asked);
    arguments.extend(["--backend", backend, "--dtype", dtype]);
    // Without reranking, because the last digits, which differ, would decide between equally good
    // answers.
    arguments.extend(["--candidates", "1"]);
    serde_json::from_str(&common::succeed(&folder(), &arguments)).unwrap()
}

fn compare(backend: &str, dtype: &str, least: f64) {
    let (expected, found) = (answer("flex", "f32"), answer(backend, dtype));
    println!("flex {expected}\n{backend} {found}");
    assert_eq!(found["backend"], backend);
    assert_eq!(found["text"], expected["text"]);
    assert!(!expected["masks"].as_array().unwrap().is_empty());
    demonstration::assert_same_masks(&found, &expected, least);
}

/// Variable set where the device is known to compute in half precision, so that it must not refuse.
#[cfg(any(feature = "vulkan", feature = "cuda"))]
const HALF: &str = "ANYREF_TEST_HALF_PRECISION";

/// Compares weights and values in half precision, if the device supports it.
#[cfg(any(feature = "vulkan", feature = "cuda"))]
fn compare_in_half_precision(backend: &str, dtype: &str) {
    let run = common::run_in(
        &folder(),
        &["info", "--backend", backend, "--dtype", dtype],
        "",
    );
    match run.code {
        Some(0) => compare(backend, dtype, 0.95),
        _ => {
            let line = run.stderr.trim();
            assert!(std::env::var_os(HALF).is_none(), "{line}");
            let refused = format!("does not compute in {dtype}");
            assert!(line.contains(&refused), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }
}

/// Compares all 30 questions, decoded greedily, because the last digits would decide between
/// equally good answers.
#[cfg(any(feature = "vulkan", feature = "cuda"))]
fn compare_the_demonstration(backend: &str, dtype: &str, least: f64) {
    let folder = common::folder();
    let answers = |backend, dtype| {
        let options = ["--candidates", "1", "--backend", backend, "--dtype", dtype];
        demonstration::answers(folder.path(), &options)
    };
    let found = answers(backend, dtype);
    let lowest = demonstration::assert_same(&found, &answers("flex", "f32"), least);
    println!("{backend} {dtype}: IoU {lowest}");
}

#[cfg(feature = "vulkan")]
#[test]
#[ignore = "minutes on a software device"]
fn vulkan_answers_the_whole_demonstration_as_the_processor_does() {
    compare_the_demonstration("vulkan", "f32", 0.99);
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "minutes where no kernel has been compiled before"]
fn cuda_answers_the_whole_demonstration_as_the_processor_does() {
    compare_the_demonstration("cuda", "f32", 0.99);
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_answers_as_the_processor_does() {
    compare("wgpu", "f32", 0.99);
}

#[cfg(feature = "vulkan")]
#[test]
fn vulkan_answers_as_the_processor_does() {
    compare("vulkan", "f32", 0.99);
}

#[cfg(feature = "vulkan")]
#[test]
fn vulkan_answers_in_half_precision_or_says_that_it_cannot() {
    compare_in_half_precision("vulkan", "f16");
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_answers_as_the_processor_does() {
    compare("cuda", "f32", 0.99);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_answers_in_half_precision() {
    compare_in_half_precision("cuda", "f16");
    compare_in_half_precision("cuda", "bf16");
}
