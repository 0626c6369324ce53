//! Files scored as benchmarks.

use std::path::{Path, PathBuf};

use anyref_eval::files::{Error, Fault};
use anyref_eval::metrics::caption::Programs;
use anyref_eval::{Benchmark, ScoreOptions, ScoreTable, score_files};

use crate::support::Files;

const OPTIONS: ScoreOptions = ScoreOptions {
    resamples: 50,
    seed: 0,
    videos: 1,
    programs: Programs {
        meteor: None,
        spice: None,
    },
};

/// Mask of four pixels in a column, set by the bits of `bits`.
fn mask(bits: u8) -> String {
    let runs: Vec<_> = (0..4).map(|i| bits >> i & 1 == 1).collect();
    let rle = anyref_decoder::rle::Rle::from_mask(&runs, [4, 1]).unwrap();
    serde_json::to_string(&rle).unwrap()
}

fn masks(bits: &[u8]) -> String {
    format!(
        "[{}]",
        bits.iter().map(|&b| mask(b)).collect::<Vec<_>>().join(",")
    )
}

struct Setup {
    files: Files,
    targets: Vec<String>,
    predictions: Vec<String>,
}

impl Setup {
    fn new() -> Self {
        Self {
            files: Files::new(),
            targets: Vec::new(),
            predictions: Vec::new(),
        }
    }

    /// Adds a target and its prediction, each with extra fields.
    fn with(mut self, truth: &[u8], more: &str, predicted: &[u8], said: &str) -> Self {
        let id = self.targets.len();
        let line = |masks: String, more: &str| {
            format!(r#"{{"id":{id},"size":[4,1],"masks":{masks}{more}}}"#)
        };
        self.targets.push(line(masks(truth), more));
        self.predictions.push(line(masks(predicted), said));
        self
    }

    fn paths(&self) -> [PathBuf; 2] {
        let write = |name: &str, lines: &[String]| {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            self.files.write(name, &lines)
        };
        [
            write("targets.jsonl", &self.targets),
            write("predictions.jsonl", &self.predictions),
        ]
    }

    fn score(&self, benchmark: Benchmark) -> Result<ScoreTable, Error> {
        let [targets, predictions] = self.paths();
        score_files(benchmark, &targets, &predictions, None, &OPTIONS)
    }
}

fn value(table: &ScoreTable, name: &str) -> f64 {
    let score = table.scores.iter().find(|score| score.name == name);
    score
        .and_then(|score| score.value)
        .unwrap_or_else(|| panic!("{name}: {table:?}"))
}

#[test]
fn several_masks_are_united_on_either_side() {
    let table = Setup::new()
        .with(&[0b0001, 0b0010], "", &[0b0011], "")
        .with(&[0b1111], "", &[0b0001, 0b1001], "")
        .score(Benchmark::Refcoco)
        .unwrap();
    assert_eq!(value(&table, "cIoU"), 4.0 / 6.0);
    assert_eq!(value(&table, "mIoU"), 0.75);
    assert_eq!(value(&table, "Pr@0.6"), 0.5);
    assert_eq!((table.questions, table.samples), (2, 2));
}

#[test]
fn nothing_said_or_drawn_is_a_refusal() {
    let table = Setup::new()
        .with(&[], "", &[], "")
        .with(&[], "", &[0], "")
        .with(&[], "", &[1], r#","no_target":true"#)
        .with(&[], "", &[1], "")
        .with(&[0b11], "", &[0b11], "")
        .with(&[0b11], "", &[0b11], r#","no_target":true"#)
        .score(Benchmark::Grefcoco)
        .unwrap();
    assert_eq!(value(&table, "N-acc"), 0.75);
    assert_eq!(value(&table, "T-acc"), 0.5);
    assert_eq!(value(&table, "gIoU"), 4.0 / 6.0);
    assert_eq!(value(&table, "cIoU"), 2.0 / 5.0);
}

#[test]
fn pixels_to_ignore_are_left_out_where_the_benchmark_does() {
    let more = format!(r#","ignore":{}"#, mask(0b1100));
    let setup = Setup::new().with(&[0b0001], &more, &[0b1101], "");
    assert!((value(&setup.score(Benchmark::Reasonseg).unwrap(), "gIoU") - 1.0).abs() < 1e-4);
    match setup.score(Benchmark::Refcoco) {
        Err(Error::Line { line: 1, fault, .. }) => {
            assert!(matches!(*fault, Fault::IgnoresNone { .. }))
        }
        other => panic!("{other:?}"),
    }
    let more = format!(r#","ignore":{}"#, mask(0b0001));
    match Setup::new()
        .with(&[0b0001], &more, &[0], "")
        .score(Benchmark::Reasonseg)
    {
        Err(Error::Line { line: 1, fault, .. }) => assert!(matches!(*fault, Fault::Metric { .. })),
        other => panic!("{other:?}"),
    }
}

#[test]
fn classes_are_grouped_by_fold() {
    let class = |name: &str, fold: usize| format!(r#","category":"{name}","fold":{fold}"#);
    let setup = Setup::new()
        .with(&[0b0011], &class("cat", 0), &[0b0001], "")
        .with(&[0b0011], &class("cat", 0), &[0b0011], "")
        .with(&[0b0011], &class("dog", 0), &[0], "")
        .with(&[0b0011], &class("cow", 3), &[0b0111], "");
    let table = setup.score(Benchmark::Coco20i).unwrap();
    assert_eq!(value(&table, "mIoU of fold 0"), 0.375);
    assert!((value(&table, "mIoU") - (0.375 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    assert_eq!(table.notes.len(), 2);

    let mut many = setup;
    for name in ["1", "2", "3", "4", "5"] {
        many = many.with(&[1], &class(name, 3), &[1], "");
    }
    assert!(many.score(Benchmark::Coco20i).is_ok());
    match many.score(Benchmark::Pascal5i) {
        Err(Error::Line { line: 9, fault, .. }) => {
            assert!(matches!(*fault, Fault::Classes { fold: 3, .. }))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn frames_are_batched_by_video() {
    let video = |name: &str| format!(r#","video":"{name}""#);
    let setup = Setup::new()
        .with(&[0b0011], &video("v"), &[0b0011], r#","soft":"v.png""#)
        .with(&[0b0011], &video("w"), &[0b0011], "")
        .with(&[], &video("v"), &[0b0001], "");
    let [targets, predictions] = setup.paths();
    let picture = |name: &str, levels: [u8; 4]| {
        image::GrayImage::from_raw(1, 4, levels.to_vec())
            .unwrap()
            .save(setup.files.path(name))
            .unwrap();
    };
    // One pixel of the object has the highest probability, the other the lowest.
    picture("v.png", [200, 10, 20, 30]);
    let score = |videos| {
        let options = ScoreOptions { videos, ..OPTIONS };
        score_files(Benchmark::AvsS4, &targets, &predictions, None, &options)
    };
    let table = score(1).unwrap();
    assert_eq!((table.questions, table.samples), (3, 2));
    assert!((value(&table, "mIoU") - (0.875 + 1.0) / 2.0).abs() < 1e-6);
    // Precision 1 and recall 1/2 of the first video.
    let f = 1.3 * 0.5 / (0.3 + 0.5);
    assert!((value(&table, "F") - (f + 1.0) / 2.0).abs() < 1e-9);
    // Together one threshold serves both videos.
    let together = score(2).unwrap();
    assert_eq!(together.samples, 1);
    assert!(value(&together, "F") <= value(&table, "F"));

    picture("v.png", [1, 2, 3, 4]);
    std::fs::write(setup.files.path("v.png"), "no picture").unwrap();
    match score(1) {
        Err(Error::Line {
            line: 1,
            fault,
            path,
        }) => {
            assert!(matches!(*fault, Fault::Soft { .. }), "{fault}");
            assert!(path.ends_with("predictions.jsonl"));
        }
        other => panic!("{other:?}"),
    }
    image::GrayImage::new(2, 4)
        .save(setup.files.path("v.png"))
        .unwrap();
    match score(1) {
        Err(Error::Line { line: 1, fault, .. }) => {
            assert!(matches!(*fault, Fault::Metric { .. }), "{fault}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_benchmark_needs_is_asked_for() {
    let setup = Setup::new().with(&[1], "", &[1], "");
    for (benchmark, lacks) in [
        (Benchmark::Captions, "expressions"),
        (Benchmark::Coco20i, "fold"),
        (Benchmark::AvsMs3, "video"),
    ] {
        match setup.score(benchmark) {
            Err(Error::Line { line: 1, fault, .. }) => match *fault {
                Fault::Lacks { field, .. } => assert_eq!(field, lacks),
                other => panic!("{other}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn descriptions_are_scored_by_their_words() {
    let expressions = |text: &str| format!(r#","expressions":["{text}"]"#);
    let text = |text: &str| format!(r#","text":"{text}""#);
    let table = Setup::new()
        .with(
            &[],
            &expressions("the man's hat"),
            &[],
            &text("The man's hat."),
        )
        .with(&[], &expressions("the dog"), &[], &text("a cat"))
        .score(Benchmark::Captions)
        .unwrap();
    assert!((value(&table, "BLEU-1") - 4.0 / 6.0).abs() < 1e-6);
    assert_eq!(value(&table, "ROUGE-L"), 0.5);
    assert!(table.notes[0].contains("SPICE"));
}

#[test]
fn two_systems_are_compared_question_by_question() {
    let mut setup = Setup::new();
    for index in 0..40_u8 {
        setup = setup.with(
            &[0b0011],
            "",
            &[if index % 4 == 0 { 0b0001 } else { 0b0011 }],
            "",
        );
    }
    let [targets, better] = setup.paths();
    let worse: Vec<_> = setup
        .predictions
        .iter()
        .map(|line| line.replace(&mask(0b0011), &mask(0b0111)))
        .collect();
    let worse: Vec<_> = worse.iter().map(String::as_str).rev().collect();
    let worse = setup.files.write("worse.jsonl", &worse);
    let compare = |one: &Path, other: &Path| {
        score_files(Benchmark::Refcoco, &targets, one, Some(other), &OPTIONS).unwrap()
    };
    let table = compare(&better, &worse);
    let against = table.against.as_ref().unwrap();
    let m_iou = &against.differences[2];
    assert_eq!(m_iou.name, "mIoU");
    assert!((m_iou.difference.unwrap() - 0.75 / 3.0).abs() < 1e-12);
    assert!(m_iou.interval.unwrap()[0] > 0.0 && m_iou.p.unwrap() < 0.05);
    assert!(table.markdown().contains("| p |"));

    let same = compare(&better, &better).against.unwrap();
    assert!(
        same.differences
            .iter()
            .all(|row| row.difference == Some(0.0) && row.p == Some(1.0))
    );
}

#[test]
fn tables_have_a_row_a_score() {
    let table = Setup::new()
        .with(&[1], "", &[1], "")
        .score(Benchmark::Grefcoco)
        .unwrap();
    let text = table.markdown();
    assert!(
        text.starts_with("gRefCOCO, 1 questions\n\n| score | value (95 %) |\n| --- | --- |\n"),
        "{text}"
    );
    assert!(
        text.contains("| cIoU | 1.0000 (1.0000–1.0000) |\n| gIoU |"),
        "{text}"
    );
    assert!(text.contains("| N-acc | – |"), "{text}");
    let json = serde_json::to_value(&table).unwrap();
    assert_eq!(json["scores"][0]["value"], 1.0);
    assert_eq!(json["scores"][2]["value"], serde_json::Value::Null);
    assert!(json.get("against").is_none());
}
