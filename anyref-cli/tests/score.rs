//! `anyref score`, on files of predictions.

mod common;

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use anyref_decoder::rle::Rle;

use crate::common::{fail, folder, json, succeed};

/// Writes masks of discs as targets, and predictions that are off by so many pixels to the right.
fn write_files(folder: &Path, count: usize, side: usize, shifts: &[(&str, f64)]) {
    let disc = |x: f64, y: f64, radius: f64| {
        let inside = |i: usize| {
            let (dx, dy) = ((i % side) as f64 - x, (i / side) as f64 - y);
            dx * dx + dy * dy < radius * radius
        };
        let pixels: Vec<bool> = (0..side * side).map(inside).collect();
        serde_json::to_string(&Rle::from_mask(&pixels, [side, side]).unwrap()).unwrap()
    };
    let place =
        |i: usize, salt: usize| ((i * 7919 + salt * 104_729) % 1000) as f64 / 1000.0 * side as f64;
    let write = |name: &str, shift: f64| {
        let mut lines = String::new();
        for id in 0..count {
            let (x, y, radius) = (place(id, 1), place(id, 2), 4.0 + place(id, 3) / 5.0);
            // The worse the farther down.
            let mask = disc(x + shift * y / side as f64, y, radius);
            writeln!(
                lines,
                r#"{{"id":{id},"size":[{side},{side}],"text":"","masks":[{mask}]}}"#
            )
            .unwrap();
        }
        std::fs::write(folder.join(name), lines).unwrap();
    };
    write("targets.jsonl", 0.0);
    shifts.iter().for_each(|(name, shift)| write(name, *shift));
}

const FILES: [&str; 4] = ["--targets", "targets.jsonl", "--predictions", "good.jsonl"];

#[test]
fn tables_have_intervals_and_comparisons_a_p() {
    let folder = folder();
    write_files(
        folder.path(),
        40,
        32,
        &[("good.jsonl", 2.0), ("bad.jsonl", 8.0)],
    );
    let alone = succeed(folder.path(), &[&["score", "refcoco"][..], &FILES].concat());
    assert!(alone.contains("RefCOCO, 40 questions"), "{alone}");
    assert!(alone.contains("| score | value (95 %) |"), "{alone}");
    assert_eq!(
        alone
            .lines()
            .filter(|line| line.starts_with("| Pr@"))
            .count(),
        5
    );

    let against = [&["score", "refcoco", "--against", "bad.jsonl"][..], &FILES].concat();
    assert!(succeed(folder.path(), &against).contains("difference (95 %) | p |"));
    let document = json(folder.path(), &against);
    let row = &document["against"]["differences"][0];
    assert_eq!(row["name"], "cIoU");
    assert!(row["difference"].as_f64().unwrap() > 0.1, "{row}");
    assert!(row["p"].as_f64().unwrap() < 0.01, "{row}");
    assert_eq!(
        document,
        json(folder.path(), &against),
        "the same seed draws the same"
    );
    let other = json(folder.path(), &[&against[..], &["--seed", "1"]].concat());
    assert_eq!(document["scores"][0]["value"], other["scores"][0]["value"]);
    assert_ne!(
        document["scores"][0]["interval"],
        other["scores"][0]["interval"]
    );
}

#[test]
fn faults_are_one_line_with_file_and_line() {
    let folder = folder();
    write_files(folder.path(), 3, 16, &[("good.jsonl", 0.0)]);
    let good = std::fs::read_to_string(folder.path().join("good.jsonl")).unwrap();
    let score = [&["score", "refcoco"][..], &FILES].concat();
    let refuse = |text: &str, words: &[&str]| {
        std::fs::write(folder.path().join("good.jsonl"), text).unwrap();
        fail(folder.path(), &score, words);
    };
    let lines: Vec<&str> = good.lines().collect();
    refuse(&good[..good.len() - 9], &["good.jsonl line 3", "cut off"]);
    refuse(
        &lines[..2].join("\n"),
        &["good.jsonl", "no prediction", "targets.jsonl line 3"],
    );
    refuse(
        &[lines[0], lines[0]].join("\n"),
        &["good.jsonl line 2", "line 1"],
    );
    refuse(
        &good.replace("\"id\":1", "\"id\":\"one\""),
        &["good.jsonl line 2", "one", "targets.jsonl"],
    );
    refuse(
        &good.replace("16,16],\"counts", "8,32],\"counts"),
        &["line 1", "8x32", "16x16"],
    );
    refuse(
        &good.replacen("counts\":\"", "counts\":\"~", 1),
        &["good.jsonl line 1", "mask 1", "0x7e"],
    );
    refuse("", &["good.jsonl is empty"]);

    std::fs::write(folder.path().join("good.jsonl"), &good).unwrap();
    fail(
        folder.path(),
        &[&score[..], &["--against", "none.jsonl"]].concat(),
        &["none.jsonl"],
    );
    fail(
        folder.path(),
        &[&score[..], &["--resamples", "0"]].concat(),
        &["--resamples"],
    );
    fail(
        folder.path(),
        &[&["score", "captions"][..], &FILES].concat(),
        &["targets.jsonl line 1", "expressions"],
    );
}

/// Writes 10,000 masks of 560x560 pixels and says how long scoring takes:
/// `cargo test --release -p anyref-cli --test score -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn ten_thousand_masks_take_seconds() {
    let folder = folder();
    write_files(
        folder.path(),
        10_000,
        560,
        &[("good.jsonl", 20.0), ("bad.jsonl", 40.0)],
    );
    for more in [&[][..], &["--against", "bad.jsonl"]] {
        let start = Instant::now();
        succeed(
            folder.path(),
            &[&["score", "refcoco"][..], &FILES, more].concat(),
        );
        println!("{more:?}: {:.2} s", start.elapsed().as_secs_f64());
        assert!(start.elapsed().as_secs() < 10);
    }
}
