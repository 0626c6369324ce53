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
fn an_unknown_type_is_named_with_those_there_are() {
    let folder = folder();
    let run = run_in(folder.path(), &["demo", "--dtype", "fp8"], "");
    let error = run.stderr;
    assert_eq!(run.code, Some(2));
    assert!(error.contains("\"fp8\""), "{error}");
    assert!(error.contains("auto, f32, f16 or bf16"), "{error}");
}
