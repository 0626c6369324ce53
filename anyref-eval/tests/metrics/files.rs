//! Valid and invalid files of predictions and targets.

use std::path::Path;

use anyref_eval::files::{Error, Fault, Prediction, Targets, read_predictions};

use crate::support::Files;

const TARGETS: [&str; 3] = [
    r#"{"id": "a", "image": "1.jpg", "size": [2, 3], "masks": [{"size": [2, 3], "counts": [1, 2, 3]}], "expressions": ["dog"]}"#,
    r#"{"id": 7, "size": [2, 2], "masks": [], "category": 3, "fold": 1, "video": 5, "question": "which?", "references": [{"text": "dog"}, {"box": [0, 0, 1.5, 2]}, {"image": {"path": "a.jpg", "area": [0, 0, 2, 2]}}, {"audio": "a.wav"}]}"#,
    r#"{"id": "c", "size": [1, 1], "ignore": {"size": [1, 1], "counts": "01"}}"#,
];
const A: &str = r#"{"id": "a", "text": "the dog.", "masks": [{"size": [2, 3], "counts": "123", "score": 0.5}]}"#;
const SEVEN: &str = r#"{"id": "7", "masks": [], "no_target": true}"#;
const C: &str = r#"{"id": "c", "soft": "maps/c.png", "unheard": 1, "refused": "too short"}"#;

fn predictions(lines: &[&str]) -> Result<Vec<Prediction>, Error> {
    let files = Files::new();
    let targets = Targets::open(&files.write("targets.jsonl", &TARGETS)).unwrap();
    read_predictions(&files.write("predictions.jsonl", lines), &targets)
}

#[test]
fn predictions_come_in_the_order_of_the_targets() {
    let read = predictions(&[C, "", SEVEN, "  ", A]).unwrap();
    let ids: Vec<_> = read.iter().map(|p| (p.id.as_str(), p.line)).collect();
    assert_eq!(ids, [("a", 5), ("7", 3), ("c", 1)]);
    assert_eq!(read[0].text, "the dog.");
    assert_eq!(read[0].masks[0].rle.counts(), [1, 2, 3]);
    assert_eq!(read[0].masks[0].score, Some(0.5));
    assert!(!read[0].says_none());
    assert!(read[1].says_none());
    assert!(
        read[2]
            .soft
            .as_ref()
            .unwrap()
            .ends_with(Path::new("maps/c.png"))
    );
}

#[test]
fn targets_are_written_as_they_are_read() {
    let files = Files::new();
    let targets = Targets::open(&files.write("targets.jsonl", &TARGETS)).unwrap();
    assert_eq!(targets.rows()[1].category.as_deref(), Some("3"));
    assert_eq!(targets.position("7"), Some(1));
    let lines: Vec<_> = targets
        .rows()
        .iter()
        .map(|t| serde_json::to_string(t).unwrap())
        .collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let again = Targets::open(&files.write("again.jsonl", &lines)).unwrap();
    assert_eq!(again.rows(), targets.rows());

    let read = predictions(&[A, SEVEN, C]).unwrap();
    let lines: Vec<_> = read
        .iter()
        .map(|p| serde_json::to_string(p).unwrap())
        .collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    assert_eq!(predictions(&lines).unwrap()[..2], read[..2]);
}

/// Fault of a line, with its number; the message is one line and names the file.
fn fault(lines: &[&str]) -> (usize, Fault) {
    let error = predictions(lines).unwrap_err();
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("predictions.jsonl"), "{message}");
    match error {
        Error::Line { line, fault, .. } => (line, *fault),
        other => panic!("{other}"),
    }
}

#[test]
fn every_fault_is_named_with_its_line() {
    let (line, found) = fault(&[A, SEVEN, "", A]);
    assert_eq!(line, 4);
    assert!(
        matches!(found, Fault::Duplicate { first: 1, .. }),
        "{found}"
    );

    let (line, found) = fault(&[A, r#"{"id": "b"}"#]);
    assert_eq!(line, 2);
    assert!(
        matches!(&found, Fault::Unknown { id, .. } if id == "b"),
        "{found}"
    );

    let (line, found) = fault(&[SEVEN, &A.replace("[2, 3]", "[3, 2]")]);
    assert_eq!(line, 2);
    assert_eq!(
        found,
        Fault::Size {
            id: "a".into(),
            mask: 1,
            found: [3, 2],
            expected: [2, 3]
        }
    );

    for end in [1, 20, A.len() - 1] {
        let (line, found) = fault(&[SEVEN, C, &A[..end]]);
        assert_eq!((line, found), (3, Fault::Truncated));
    }

    let (line, found) = fault(&["nonsense"]);
    assert_eq!(line, 1);
    assert!(matches!(found, Fault::Json(_)));
    assert!(matches!(fault(&["[]"]).1, Fault::Json(_)));
    assert!(matches!(fault(&[r#"{"text": "no id"}"#]).1, Fault::Json(m) if m.contains("id")));
}

#[test]
fn malformed_run_lengths_say_what_is_wrong_with_them() {
    for (counts, word) in [
        (r#""12Q""#, "within a number"),
        (r#""12""#, "cover 3 pixels"),
        (r#""1 2""#, "0x20"),
        ("[1, 2]", "cover 3 pixels"),
        ("[1, -2]", "Counts"),
        ("null", "Counts"),
    ] {
        let (line, found) = fault(&[C, &A.replace(r#""123""#, counts)]);
        assert_eq!(line, 2);
        let Fault::Mask { id, mask, reason } = &found else {
            panic!("{counts}: {found}");
        };
        assert_eq!((id.as_str(), mask), ("a", &1));
        assert!(reason.contains(word), "{counts}: {reason}");
    }
}

#[test]
fn missing_predictions_are_counted_and_the_first_named() {
    let error = predictions(&[SEVEN]).unwrap_err();
    let Error::Missing {
        count, id, line, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*count, id.as_str(), *line), (2, "a", 1));
    assert!(
        error.to_string().contains("targets.jsonl line 1"),
        "{error}"
    );
}

#[test]
fn files_that_hold_nothing_are_refused() {
    assert!(matches!(predictions(&[]), Err(Error::Empty { .. })));
    assert!(matches!(predictions(&["", " "]), Err(Error::Empty { .. })));
    let files = Files::new();
    assert!(matches!(
        Targets::open(&files.path("none.jsonl")),
        Err(Error::Read { .. })
    ));
    assert!(matches!(
        Targets::open(files.folder()),
        Err(Error::Read { .. })
    ));
    std::fs::write(files.path("bytes.jsonl"), [0xff, 0xfe, b'\n']).unwrap();
    assert!(matches!(
        Targets::open(&files.path("bytes.jsonl")),
        Err(Error::Line { line: 1, .. })
    ));
}

#[test]
fn targets_are_checked_too() {
    let files = Files::new();
    let refuse = |line: &str| match Targets::open(&files.write("t.jsonl", &[TARGETS[0], line])) {
        Err(Error::Line { line: 2, fault, .. }) => *fault,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        refuse(TARGETS[0]),
        Fault::Duplicate { first: 1, .. }
    ));
    assert!(matches!(
        refuse(&TARGETS[0].replace(r#""size": [2, 3], "masks""#, r#""masks""#)),
        Fault::Json(_)
    ));
    assert!(matches!(
        refuse(&TARGETS[2].replace("[1, 1], \"counts\"", "[1, 2], \"counts\"")),
        Fault::Mask { .. }
    ));
    assert!(matches!(
        refuse(&TARGETS[2].replace("[1, 1], \"ignore", "[1, 2], \"ignore")),
        Fault::Size { .. }
    ));
}
