//! `anyref eval` on data sets in their published layouts.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{fail, folder, succeed, tone, write_sound};

fn fixture(name: &str) -> String {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-train/tests/fixtures/datasets");
    root.join(name).display().to_string()
}

fn ids(file: &Path) -> Vec<String> {
    let id = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        value["id"].as_str().unwrap().to_owned()
    };
    fs::read_to_string(file).unwrap().lines().map(id).collect()
}

/// The files of a folder below another, copied.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn a_benchmark_is_asked_scored_and_gone_on_with() {
    let folder = folder();
    let (root, out) = (fixture("refer"), folder.path().join("out"));
    let arguments = ["eval", "refcoco", "--root", &root, "--out", "out"];
    let table = succeed(folder.path(), &arguments);
    assert!(
        table.contains("| cIoU |") && table.contains("| Pr@0.9 |"),
        "{table}"
    );
    let (targets, predictions) = (out.join("targets.jsonl"), out.join("predictions.jsonl"));
    let asked = ids(&targets);
    assert_eq!(asked, ids(&predictions));
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len());
    assert!(
        table.contains(&format!("{} questions", asked.len())),
        "{table}"
    );

    // The same scores as from the files alone.
    let files = [
        "--targets",
        "out/targets.jsonl",
        "--predictions",
        "out/predictions.jsonl",
    ];
    let scored = succeed(folder.path(), &[&["score", "refcoco"][..], &files].concat());
    assert!(table.starts_with(scored.trim_end()), "{table}{scored}");

    // A kill in the middle of a line, or between a target and its answer.
    let whole = fs::read_to_string(&predictions).unwrap();
    for cut in [whole.len() - 9, whole.trim_end().rfind('\n').unwrap() + 1] {
        fs::write(&predictions, &whole[..cut]).unwrap();
        assert_eq!(succeed(folder.path(), &arguments), table);
        assert_eq!(ids(&predictions), asked);
    }
    let other = [&arguments[..], &["--split", "testA"]].concat();
    fail(folder.path(), &other, &["other questions", "--out"]);
    let other = [&arguments[..], &["--split", "none"]].concat();
    fail(folder.path(), &other, &["none", "val", "testA"]);
    fail(folder.path(), &["eval", "refcoco"], &["--root"]);
}

#[test]
fn boxes_are_described_and_nothing_is_a_target() {
    let folder = folder();
    let root = fixture("refer");
    let described = [
        "eval",
        "refcocog",
        "--root",
        &root,
        "--describe",
        "--out",
        "words",
    ];
    let table = succeed(folder.path(), &described);
    assert!(
        table.contains("BLEU-4") && table.contains("CIDEr"),
        "{table}"
    );
    let root = fixture("grefcoco");
    let table = succeed(
        folder.path(),
        &["eval", "grefcoco", "--root", &root, "--out", "several"],
    );
    assert!(
        table.contains("N-acc") && table.contains("T-acc"),
        "{table}"
    );
}

#[test]
fn a_file_of_ones_own_may_mix_all_kinds_of_references() {
    let folder = folder();
    let own = folder.path().join("own");
    copy(&PathBuf::from(fixture("own")), &own);
    let root = own.join("good.jsonl").display().to_string();
    let arguments = ["eval", "own", "--root", &root, "--out", "masks"];
    fail(folder.path(), &arguments, &["good.jsonl 4", "0.1 s"]);
    write_sound(&own.join("dog.wav"), 16_000, 1.0, tone);
    let table = succeed(folder.path(), &arguments);
    let segmented = ids(&folder.path().join("masks/targets.jsonl"));
    assert!(segmented.len() > 2 && table.contains("cIoU"), "{table}");
    let described = [
        "eval",
        "own",
        "--root",
        &root,
        "--describe",
        "--out",
        "words",
    ];
    succeed(folder.path(), &described);
    let described = ids(&folder.path().join("words/targets.jsonl"));
    assert!(!described.is_empty());
    assert!(described.iter().all(|id| !segmented.contains(id)));
}

#[test]
fn a_partial_folder_says_what_is_missing() {
    let folder = folder();
    let root = folder.path().join("refer");
    copy(&PathBuf::from(fixture("refer")), &root);
    let images = root.join("images/mscoco/images/train2014");
    let arguments = ["eval", "refcoco", "--root", "refer", "--out", "out"];
    let all = succeed(folder.path(), &[&arguments[..5], &["all"]].concat());
    let first = ids(&folder.path().join("all/targets.jsonl")).len();
    let target = fs::read_to_string(folder.path().join("all/targets.jsonl")).unwrap();
    let target: Value = serde_json::from_str(target.lines().next().unwrap()).unwrap();
    let picture = PathBuf::from(target["image"].as_str().unwrap());
    fs::remove_file(folder.path().join(&picture)).unwrap();
    let name = picture.file_name().unwrap().to_str().unwrap();
    fail(folder.path(), &arguments, &[name, "--limit"]);
    let run = common::run_in(
        folder.path(),
        &[&arguments[..], &["--limit", "100"]].concat(),
        "",
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains("left out") && run.stderr.contains(name),
        "{}",
        run.stderr
    );
    let left = ids(&folder.path().join("out/targets.jsonl")).len();
    assert!(0 < left && left < first, "{left} of {first}: {all}");
    fs::remove_dir_all(images).unwrap();
    let arguments = [
        "eval", "refcoco", "--root", "refer", "--out", "none", "--limit", "1",
    ];
    fail(folder.path(), &arguments, &["missing", ".jpg"]);
}
