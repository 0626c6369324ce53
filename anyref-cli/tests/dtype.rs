//! Weights kept in half precision answer as those in f32 do.

mod common;

use common::demonstration::{answers, assert_same};
use common::{folder, run_in};

/// Question whose two best answers differ by 0.006 in f32, in sums of a log-probability and the log
/// of an estimate. Rounding to eight bits changes such sums by 0.05.
const NEAR_TIE: &str = "Can you segment caribou below the toolbox in this image?";

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
    let pairs = found.into_iter().zip(expected);
    let (near_ties, others): (Vec<_>, Vec<_>) =
        pairs.partition(|(_, expected)| expected["question"] == NEAR_TIE);
    let [(found, expected)] = near_ties.try_into().expect("one near tie");
    let thing = "caribou below the toolbox";
    assert_eq!(expected["answer"], format!("{thing}."));
    let either = [
        format!("{thing}."),
        format!("{thing} is not in this image."),
    ];
    assert!(either.iter().any(|answer| found["answer"] == **answer));
    let (found, expected): (Vec<_>, Vec<_>) = others.into_iter().unzip();
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
fn keys_and_values_in_half_precision_give_the_demonstrations_masks() {
    let folder = folder();
    let expected = answers(folder.path(), &["--dtype", "f32"]);
    for (cache, least) in [("f16", 0.99), ("bf16", 0.98)] {
        let found = answers(folder.path(), &["--dtype", "f32", "--kv-cache", cache]);
        let lowest = assert_same(&found, &expected, least);
        println!("{cache}: IoU {lowest}");
    }
    let needs = |options: &[&str]| {
        let run = run_in(folder.path(), &[&["info"], options].concat(), "");
        let mut lines = run.stdout.lines();
        lines
            .find_map(|line| line.strip_prefix("needs"))
            .map(str::to_owned)
            .unwrap()
    };
    assert_ne!(needs(&[]), needs(&["--kv-cache", "f16"]));
    for (cache, expected) in [
        ("q8_0", "the model's have 48: keep keys and values in f16"),
        ("fp8", "use f32, f16, bf16 or q8_0"),
    ] {
        let run = run_in(folder.path(), &["demo", "--kv-cache", cache], "");
        assert_ne!(run.code, Some(0));
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
}

#[test]
fn quantised_encoders_give_the_demonstrations_masks() {
    let folder = folder();
    let expected = answers(folder.path(), &["--dtype", "f32"]);
    let options = ["--dtype", "f32", "--quantize-vision", "q8_0"];
    let found = answers(folder.path(), &options);
    let pairs = found.into_iter().zip(expected);
    let (same, other): (Vec<_>, Vec<_>) = pairs.partition(|(a, b)| a["answer"] == b["answer"]);
    // Whether one of the things in crowded scenes is there is a close call.
    assert!(other.len() <= 1, "{other:?}");
    let (found, expected): (Vec<_>, Vec<_>) = same.into_iter().unzip();
    let lowest = assert_same(&found, &expected, 0.98);
    println!(
        "encoders in q8_0: IoU {lowest}, {} other words",
        other.len()
    );
    let info = |options: &[&str]| {
        let run = run_in(folder.path(), &[&["info"], options].concat(), "");
        let lines = run.stdout.lines().map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let (plain, blocks) = (info(&[]), info(&["--quantize-vision", "q8_0"]));
    let of = |lines: &[String], start: &str| {
        let mut lines = lines.iter().filter(|line| line.starts_with(start));
        lines.next().cloned().unwrap_or_default()
    };
    assert!(
        of(&blocks, "in blocks").contains("picture encoders in Q8_0"),
        "{blocks:?}"
    );
    let sounds = info(&["--quantize-audio", "q8_0"]);
    assert!(
        of(&sounds, "in blocks").contains("ImageBind in Q8_0"),
        "{sounds:?}"
    );
    for blocks in [&blocks, &sounds] {
        assert_eq!(of(blocks, "parameters"), of(&plain, "parameters"));
    }
    // The sound encoder is too small for the digits shown.
    assert_ne!(of(&blocks, "needs"), of(&plain, "needs"));
}

#[test]
fn encoders_of_integers_give_the_demonstrations_masks() {
    let folder = folder();
    let expected = answers(folder.path(), &["--dtype", "f32"]);
    let integers = ["--quantize-vision", "int8", "--quantize-audio", "int8"];
    let options = [&["--dtype", "f32"], &integers[..]].concat();
    let found = answers(folder.path(), &options);
    let pairs = found.into_iter().zip(expected);
    let (same, other): (Vec<_>, Vec<_>) = pairs.partition(|(a, b)| a["answer"] == b["answer"]);
    // Whether one of the things in crowded scenes is there is a close call.
    assert!(other.len() <= 1, "{other:?}");
    let (found, expected): (Vec<_>, Vec<_>) = same.into_iter().unzip();
    // The lowest is that of a small object.
    let lowest = assert_same(&found, &expected, 0.93);
    println!(
        "encoders in int8: IoU {lowest}, {} other words",
        other.len()
    );
    let run = run_in(folder.path(), &[&["info"], &integers[..]].concat(), "");
    for part in ["picture encoders in int8", "ImageBind in int8"] {
        assert!(run.stdout.contains(part), "{}", run.stdout);
    }
    let run = run_in(folder.path(), &["demo", "--quantize-vision", "int4"], "");
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("use q8_0, q4_0 or q4_k, or int8"),
        "{}",
        run.stderr
    );
}

#[test]
fn weights_are_rounded_by_rules_as_they_are_read() {
    let folder = folder();
    let rules = ["--quantize-rule", "lm_head=q8_0"];
    let more = ["--quantize-rule", r"layers\.0\.=float"];
    let options = [&["info", "--quantize", "q4_0"], &rules[..], &more[..]].concat();
    let run = run_in(folder.path(), &options, "");
    let lines = run.stdout.lines();
    let blocks: Vec<_> = lines.filter(|line| line.starts_with("in blocks")).collect();
    assert_eq!(blocks.len(), 2, "{}", run.stdout);
    // Three of four layers, and the head.
    for (weights, block_type) in [("21 weights", "Q4_0"), ("1 weights", "Q8_0")] {
        let line = blocks.iter().find(|line| line.contains(block_type));
        assert!(line.unwrap().contains(weights), "{blocks:?}");
    }
    let run = run_in(folder.path(), &[&["info"], &rules[..]].concat(), "");
    assert_ne!(run.code, Some(0));
    assert!(
        run.stderr
            .contains("give --quantize q8_0, q4_0 or q4_k too"),
        "{}",
        run.stderr
    );
    let wrong = ["info", "--quantize", "q8_0", "--quantize-rule", "lm_head"];
    let run = run_in(folder.path(), &wrong, "");
    assert!(run.stderr.contains("give PATTERN=TYPE"), "{}", run.stderr);
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
