//! JSON Lines data sets of one's own, and the messages of their checker.

use std::fs;

use anyref_data::datasets::{Error, Jsonl};

use crate::support::{compare_all, expected, folder};

#[test]
fn every_kind_of_line_is_read() {
    let root = folder("own");
    let own = Jsonl::open(&root.join("good.jsonl")).unwrap();
    compare_all(&own, &expected("own"), &root);
    let (good, problems) = Jsonl::problems(&root.join("good.jsonl")).unwrap();
    assert_eq!((good, problems.len()), (5, 0), "{problems:?}");
}

/// Error message for a line in the fixture's folder, the third of its file.
fn said(line: &str) -> String {
    let folder = folder("own");
    let copy = tempfile::tempdir().unwrap();
    for name in ["a.png", "b.png", "a-mask.png", "dog.wav"] {
        fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    fs::write(copy.path().join("small.png"), small_mask()).unwrap();
    let path = copy.path().join("mine.jsonl");
    let good = r#"{"image": "a.png", "references": [{"text": "x"}], "answer": "no x."}"#;
    fs::write(&path, format!("{good}\n\n{line}\n{good}\n")).unwrap();
    let (count, problems) = Jsonl::problems(&path).unwrap();
    assert_eq!(count, 2);
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert!(matches!(problem, Error::Line { line: 3, .. }), "{problem}");
    let problem = problem.to_string();
    assert!(
        problem.contains("mine.jsonl:3: ") && !problem.contains('\n'),
        "{problem}"
    );
    problem
}

fn small_mask() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::from_pixel(8, 8, image::Luma([255]));
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn the_checker_names_the_line_and_the_fault() {
    let text = r#""references": [{"text": "x"}]"#;
    let empty = r#"{"size": [30, 40], "counts": [1200]}"#;
    for (line, fault) in [
        ("{\"image\"".to_owned(), "EOF"),
        (format!(r#"{{"image": "a.png", {text}, "answer": "x", "mask": []}}"#), "unknown field `mask`"),
        (format!(r#"{{{text}, "answer": "x"}}"#), "missing field `image`"),
        (format!(r#"{{"image": "c.png", {text}, "answer": "x"}}"#), "c.png"),
        (format!(r#"{{"image": "dog.wav", {text}, "answer": "x"}}"#), "dog.wav"),
        (format!(r#"{{"image": "a.png", {text}, "answer": "x<obj>"}}"#), "1 <obj> for 0 masks"),
        (format!(r#"{{"image": "a.png", {text}, "answer": "x<obj>", "masks": ["no.png"]}}"#), "no.png"),
        (format!(r#"{{"image": "a.png", {text}, "answer": "x<obj>", "masks": ["small.png"]}}"#), "8x8"),
        (format!(r#"{{"image": "a.png", {text}, "answer": "x<obj>", "masks": [{empty}]}}"#), "mask 1 is empty"),
        (format!(r#"{{"image": "a.png", {text}, "answer": "x<obj>", "masks": [{{"size": [3, 4], "counts": [12]}}]}}"#), "4x3"),
        (format!(r#"{{"image": "a.png", {text}, "answer": "x<obj>", "masks": [7]}}"#), "a mask is a path"),
        (format!(r#"{{"image": "a.png", {text}, "answer": "x<obj>", "masks": [[[1, 2, 3]]]}}"#), "polygon"),
        (format!(r#"{{"id": "1", "image": "a.png", {text}, "answer": "x"}}"#), "that of line 1 too"),
        (r#"{"image": "a.png", "references": [], "answer": "x"}"#.to_owned(), "`references` is empty"),
        (r#"{"image": "a.png", "references": [{}], "answer": "x"}"#.to_owned(), "reference 1: give one of"),
        (r#"{"image": "a.png", "references": [{"text": "x", "audio": "dog.wav"}], "answer": "x"}"#.to_owned(), "only one"),
        (r#"{"image": "a.png", "references": [{"box": [5, 5, 2, 9]}], "answer": "x"}"#.to_owned(), "x0 < x1"),
        (r#"{"image": "a.png", "references": [{"box": [5, 5, 41, 9]}], "answer": "x"}"#.to_owned(), "leaves its picture of 40x30"),
        (r#"{"image": "a.png", "references": [{"image": "b.png", "box": [5, 5, 9, 31]}], "answer": "x"}"#.to_owned(), "leaves"),
        (r#"{"image": "a.png", "references": [{"text": "x", "mask": "a-mask.png"}], "answer": "x"}"#.to_owned(), "belongs to an `image`"),
        (r#"{"image": "a.png", "references": [{"audio": "a.png"}], "answer": "x"}"#.to_owned(), "a.png"),
        (r#"{"image": "a.png", "references": [{"text": "x"}, {"audio": "dog.wav"}], "answer": "x"}"#.to_owned(), "need a `question`"),
        (r#"{"image": "a.png", "references": [{"audio": "dog.wav"}], "question": "What?", "answer": "x"}"#.to_owned(), "no {1}"),
        (r#"{"image": "a.png", "references": [{"text": "x"}], "question": "Is {2} x?", "answer": "x"}"#.to_owned(), "there are 1 references"),
    ] {
        let problem = said(&line);
        assert!(problem.contains(fault), "{line}\n{problem}");
    }
}

#[test]
fn opening_stops_at_the_first_bad_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.jsonl");
    fs::write(&path, "\n{}\n").unwrap();
    assert!(matches!(
        Jsonl::open(&path),
        Err(Error::Line { line: 2, .. })
    ));
    fs::write(&path, "\n \n").unwrap();
    assert!(matches!(Jsonl::open(&path), Err(Error::Nothing { .. })));
    let missing = folder.path().join("none.jsonl");
    assert!(matches!(Jsonl::open(&missing), Err(Error::Io { .. })));
}
