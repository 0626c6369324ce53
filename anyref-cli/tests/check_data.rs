//! `anyref check-data`, as `cargo xtask check-data` calls it.

use std::path::Path;
use std::process::{Command, Output};

fn check(file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anyref"));
    command.arg("check-data").arg(file).output().unwrap()
}

#[cfg(feature = "train")]
#[test]
fn good_files_pass_and_bad_lines_are_named() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-data/tests/fixtures/datasets/own");
    let output = check(&folder.join("good.jsonl"));
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("good.jsonl: 5 good lines"), "{text}");

    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("mine.jsonl");
    std::fs::write(&path, "{}\n\n[1]\n").unwrap();
    let output = check(&path);
    assert!(!output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["mine.jsonl:1: ", "mine.jsonl:3: ", "0 good lines"] {
        assert!(text.contains(line), "{text}");
    }
    std::fs::write(&path, "\n").unwrap();
    assert!(!check(&path).status.success());
    let output = check(&scratch.path().join("none.jsonl"));
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.starts_with("error: "), "{line}");
    assert!(line.contains("none.jsonl"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}
