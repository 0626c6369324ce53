//! Names for sounds through the program.

mod common;

use std::fs;
use std::path::Path;

use common::{asset, fail, folder, run_in, succeed, write_sound};
use serde_json::Value;

/// Path of a file in another crate's fixtures.
fn fixture(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join(name).display().to_string()
}

fn sound() -> String {
    asset("demo/scene1-4-1.wav").display().to_string()
}

/// Command line with further options.
fn line(options: &[&str]) -> Vec<String> {
    let imagebind = fixture("anyref-core/tests/fixtures/sounds/imagebind.pth");
    let clip = fixture("anyref-llm/tests/fixtures/clip");
    let line = ["sounds", "--imagebind", &imagebind, "--clip", &clip];
    line.iter()
        .chain(options)
        .map(ToString::to_string)
        .collect()
}

fn ask(folder: &Path, options: &[&str]) -> String {
    let line = line(options);
    succeed(folder, &line.iter().map(String::as_str).collect::<Vec<_>>())
}

fn refuse(folder: &Path, options: &[&str], words: &[&str]) {
    let line = line(options);
    fail(
        folder,
        &line.iter().map(String::as_str).collect::<Vec<_>>(),
        words,
    );
}

#[test]
fn labels_come_with_probabilities_and_the_licence_once() {
    let folder = folder();
    let sound = sound();
    let words = line(&["--audio", &sound, "--audio", &sound]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let run = run_in(folder.path(), &words, "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(
        run.stderr.matches("non-commercial").count(),
        1,
        "{}",
        run.stderr
    );
    // A name and five labels for each sound.
    assert_eq!(run.stdout.lines().count(), 12, "{}", run.stdout);

    let json = ask(folder.path(), &["--audio", &sound, "--json", "--top", "3"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let labels = json["labels"].as_array().unwrap();
    assert_eq!((labels.len(), &json["left_out"]), (3, &Value::from(524)));
    let shares: Vec<f64> = labels
        .iter()
        .map(|label| label["probability"].as_f64().unwrap())
        .collect();
    assert!(shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
    assert!(labels[0]["similarity"].as_f64().unwrap() <= 1.0);
}

#[test]
fn labels_of_ones_own_share_the_whole() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("labels.txt"), "dog\ncat\nviolin\n").unwrap();
    let own = ["--sound-labels", "labels.txt", "--label-cache", "cache"];
    let sound = sound();
    let ask = |more: &[&str]| -> Value {
        let options: Vec<&str> = [&own[..], &["--audio", &sound, "--json"], more].concat();
        serde_json::from_str(&ask(folder.path(), &options)).unwrap()
    };
    let first = ask(&[]);
    let labels = first["labels"].as_array().unwrap();
    let total: f64 = labels
        .iter()
        .map(|l| l["probability"].as_f64().unwrap())
        .sum();
    assert_eq!(labels.len(), 3);
    assert!((total - 1.0).abs() < 1e-5, "{total}");
    // The second call finds the embeddings.
    assert_eq!(fs::read_dir(at("cache")).unwrap().count(), 1);
    assert_eq!(ask(&[])["labels"], first["labels"]);
    let least = labels[0]["probability"].to_string();
    let above = ask(&["--sound-threshold", &least]);
    assert_eq!(above["labels"].as_array().unwrap().len(), 1);
}

#[test]
fn bad_input_is_told_on_one_line_before_the_model_is_read() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let sound = sound();
    let labels = |content: &str| fs::write(at("labels.txt"), content).unwrap();
    let own = ["--audio", &sound, "--sound-labels", "labels.txt"];
    for (content, words) in [
        ("dog\n\ncat\n", ["labels.txt", "line 2 is empty"]),
        ("dog\ncat\nDog\n", ["labels.txt", "line 1 again"]),
        ("", ["labels.txt", "is empty"]),
    ] {
        labels(content);
        refuse(folder.path(), &own, &words);
    }
    refuse(
        folder.path(),
        &["--audio", &sound, "--sound-labels", "none.txt"],
        &["none.txt", "check the path"],
    );
    write_sound(&at("silence.wav"), 16_000, 2.0, |_| 0.0);
    refuse(
        folder.path(),
        &["--audio", "silence.wav"],
        &["silence.wav", "silent"],
    );
    for (option, value) in [
        ("--top", "0"),
        ("--sound-threshold", "1.5"),
        ("--sound-threshold", "-1"),
    ] {
        refuse(
            folder.path(),
            &["--audio", &sound, option, value],
            &[option],
        );
    }
    refuse(
        folder.path(),
        &["--audio", &sound, "--model", "x"],
        &["no use for --model"],
    );
}

#[test]
fn what_the_model_lacks_is_told_on_one_line() {
    let folder = folder();
    let sound = sound();
    let clip = fixture("anyref-llm/tests/fixtures/clip");
    let lacking = fixture("anyref-core/tests/fixtures/imagebind.pth");
    let run = run_in(
        folder.path(),
        &[
            "sounds",
            "--audio",
            &sound,
            "--imagebind",
            &lacking,
            "--clip",
            &clip,
        ],
        "",
    );
    assert_eq!(run.code, Some(1));
    let told = run.stderr;
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("no text tower"), "{told}");
}
