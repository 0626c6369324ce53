//! One question about many pictures: files, folders, patterns, and resumed runs.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, asset, fail, folder, json, run_in, succeed};
use serde_json::Value;

/// Folder with `photos`: two scenes of the demonstration and a broken picture.
fn photos() -> tempfile::TempDir {
    let folder = folder();
    fs::create_dir(folder.path().join("photos")).unwrap();
    for (scene, name) in [("scene1.jpg", "a.jpg"), ("scene2.jpg", "b.jpg")] {
        copy(scene, &folder.path().join("photos").join(name));
    }
    let whole = fs::read(asset("demo/scene3.jpg")).unwrap();
    fs::write(
        folder.path().join("photos/c.jpg"),
        &whole[..whole.len() / 2],
    )
    .unwrap();
    folder
}

fn copy(scene: &str, to: &Path) {
    fs::copy(asset("demo").join(scene), to).unwrap();
}

fn segment(folder: &Path, image: &str, more: &[&str]) -> Run {
    let asked = [
        "segment",
        "--image",
        image,
        "--text",
        "the gorilla",
        "--out",
        "out",
    ];
    run_in(folder, &[&asked[..], more].concat(), "")
}

fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Answered pictures in the order of the answers.
fn answered(folder: &Path) -> Vec<String> {
    let lines = fs::read_to_string(folder.join("out/answers.jsonl")).unwrap();
    let lines = lines.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["image"].as_str().unwrap().to_owned()
    });
    lines.collect()
}

#[test]
fn a_pattern_is_answered_with_one_file_of_masks_and_a_broken_picture_is_passed_over() {
    let folder = photos();
    let run = segment(folder.path(), "photos/*.jpg", &[]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.stderr);
    assert!(lines[0].starts_with("passed over: ") && lines[0].contains("photos/c.jpg"));
    assert!(lines[1].starts_with("error: 1 of 3 pictures passed over: photos/c.jpg;"));
    assert!(
        run.stdout.contains("2 of 3 pictures answered, "),
        "{}",
        run.stdout
    );

    let masks = read(folder.path().join("out/masks.json"));
    let names: Vec<_> = masks["images"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2);
    assert_eq!(
        (&names[0]["file_name"], &names[0]["width"]),
        (&"photos/a.jpg".into(), &256.into())
    );
    let annotations = masks["annotations"].as_array().unwrap();
    assert!(!annotations.is_empty());
    assert_eq!(masks["categories"][0]["name"], "the gorilla");
    // The same masks as one by one.
    for image in &names {
        let name = image["file_name"].as_str().unwrap();
        let alone = json(
            folder.path(),
            &["segment", "--image", name, "--text", "the gorilla"],
        );
        let of_image = annotations
            .iter()
            .filter(|mask| mask["image_id"] == image["id"]);
        let together: Vec<_> = of_image
            .map(|mask| &mask["segmentation"]["counts"])
            .collect();
        let alone = alone["masks"].as_array().unwrap();
        let alone: Vec<_> = alone.iter().map(|mask| &mask["counts"]).collect();
        assert_eq!(together, alone, "{name}");
    }
    for overlay in ["a.png", "b.png"] {
        assert!(folder.path().join("out").join(overlay).is_file());
    }
    assert!(!folder.path().join("out/c.png").exists());
}

#[test]
fn a_run_goes_on_where_it_stopped() {
    let folder = photos();
    let photos = folder.path().join("photos");
    assert_eq!(segment(folder.path(), "photos", &[]).code, Some(1));
    assert_eq!(answered(folder.path()), ["photos/a.jpg", "photos/b.jpg"]);
    // A kill in the middle of a line.
    let answers = folder.path().join("out/answers.jsonl");
    let whole = fs::read_to_string(&answers).unwrap();
    fs::write(&answers, whole + "{\"image\": \"photos/c").unwrap();
    let before = fs::read(folder.path().join("out/a.png")).unwrap();

    copy("scene3.jpg", &photos.join("c.jpg"));
    let run = segment(folder.path(), "photos", &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(
        run.stdout
            .contains("3 of 3 pictures answered (2 answered before)"),
        "{}",
        run.stdout
    );
    let all = ["photos/a.jpg", "photos/b.jpg", "photos/c.jpg"];
    assert_eq!(answered(folder.path()), all);
    assert_eq!(fs::read(folder.path().join("out/a.png")).unwrap(), before);
    let masks = read(folder.path().join("out/masks.json"));
    assert_eq!(masks["images"].as_array().unwrap().len(), 3);

    let run = segment(folder.path(), "photos", &["--json"]);
    let summary: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&summary["answered"], &summary["answered_before"]),
        (&0.into(), &3.into())
    );
    // A changed picture is asked about again, in its old place.
    copy("scene4.jpg", &photos.join("a.jpg"));
    assert_eq!(segment(folder.path(), "photos", &[]).code, Some(0));
    assert_eq!(answered(folder.path()).last().unwrap(), "photos/a.jpg");
    let masks = read(folder.path().join("out/masks.json"));
    assert_eq!(masks["images"].as_array().unwrap().len(), 3);
    assert_eq!(masks["images"][0]["file_name"], "photos/a.jpg");

    // Pictures with equal names from two folders, and other pictures than before.
    fs::create_dir(folder.path().join("more")).unwrap();
    copy("scene5.jpg", &folder.path().join("more/a.jpg"));
    assert_eq!(segment(folder.path(), "more", &[]).code, Some(0));
    assert!(folder.path().join("out/a_2.png").is_file());
    let masks = read(folder.path().join("out/masks.json"));
    assert_eq!(masks["images"].as_array().unwrap().len(), 4);
}

/// Arguments of a question.
fn ask<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["segment", "--image"], arguments].concat()
}

#[test]
fn other_questions_and_places_that_do_not_fit_are_refused() {
    let folder = photos();
    fs::remove_file(folder.path().join("photos/c.jpg")).unwrap();
    succeed(
        folder.path(),
        &ask(&["photos", "--text", "the gorilla", "--out", "out"]),
    );
    for (arguments, words) in [
        (
            &["photos", "--text", "the tiger", "--out", "out"][..],
            &["out", "the gorilla", "the tiger", "--out"][..],
        ),
        (
            &[
                "photos",
                "--text",
                "the gorilla",
                "--out",
                "out",
                "--min-score",
                "0",
            ],
            &["out", "other options", "--out"],
        ),
        (
            &["photos", "--text", "dog"],
            &["photos are 2 pictures", "--out DIR"],
        ),
        (
            &["photos/a.jpg", "photos/b.jpg", "--text", "dog"],
            &["photos/a.jpg and 1 more", "--out DIR"],
        ),
        (
            &["photos", "--text", "dog", "--out", "photos"],
            &["photos/a.jpg is read from it", "--out"],
        ),
        (
            &["none/*.png", "--text", "dog", "--out", "o"],
            &["none/*.png", "no file matches"],
        ),
        (
            &["out/none", "--text", "dog", "--out", "o"],
            &["out/none", "passed over"],
        ),
    ] {
        let arguments = ask(arguments);
        match words.contains(&"passed over") {
            true => {
                let run = run_in(folder.path(), &arguments, "");
                assert_eq!(run.code, Some(1));
                assert!(run.stderr.contains("out/none"), "{}", run.stderr);
            }
            false => fail(folder.path(), &arguments, words),
        }
    }
}
