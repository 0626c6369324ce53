//! Weights kept in half precision answer as those in f32 do.

mod common;

use common::demonstration::{answers, assert_same};
use common::{folder, run_in};

#[test]
fn the_demonstration_has_the_same_words_and_masks_in_every_type() {
    let folder = folder();
    let answers = |dtype| answers(folder.path(), &["--dtype", dtype]);
    let expected = answers("f32");
    for dtype in ["auto", "f16", "bf16"] {
        let lowest = assert_same(&answers(dtype), &expected, 0.98);
        println!("{dtype}: IoU {lowest}");
    }
}

#[test]
fn a_quantised_language_model_gives_the_demonstrations_masks() {
    let folder = folder();
    let expected = answers(folder.path(), &["--dtype", "f32"]);
    let found = answers(folder.path(), &["--dtype", "f32", "--quantize", "q8_0"]);
    let lowest = assert_same(&found, &expected, 0.99);
    println!("q8_0: IoU {lowest}");
    let run = run_in(folder.path(), &["info", "--quantize", "q8_0"], "");
    let line = run
        .stdout
        .lines()
        .find(|line| line.starts_with("in blocks"));
    assert!(
        line.is_some_and(|line| line.contains("Q8_0")),
        "{}",
        run.stdout
    );
    let run = run_in(folder.path(), &["demo", "--quantize", "q6_k"], "");
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("use q8_0, q4_0 or q4_k"),
        "{}",
        run.stderr
    );
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
