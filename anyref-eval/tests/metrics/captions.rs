//! Tokens and scores of descriptions against pycocoevalcap and METEOR 1.5.

use anyref_eval::metrics::caption::{
    Captioning, MeteorStats, ProgramError, Programs, caption_samples, tokenize,
};
use anyref_eval::metrics::{Error, Metric};
use serde::Deserialize;

use crate::support::{Scores, assert_scores};

#[derive(Deserialize)]
struct Fixture {
    samples: Vec<Sample>,
    scores: Scores,
}

#[derive(Deserialize)]
struct Sample {
    text: String,
    /// Penn Treebank tokens, joined by spaces.
    words: String,
    expressions: Vec<String>,
    expression_words: Vec<String>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/captions.json")).expect("the fixture is JSON")
}

#[test]
fn words_are_those_of_the_penn_treebank_tokenizer() {
    let mut different = Vec::new();
    for sample in fixture().samples {
        let said = std::iter::once((&sample.text, &sample.words));
        for (text, words) in said.chain(sample.expressions.iter().zip(&sample.expression_words)) {
            let found = tokenize(text).join(" ");
            if found != *words {
                different.push(format!("{text:?}: {found:?} instead of {words:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn descriptions_are_scored_as_by_pycocoevalcap_and_meteor() {
    let fixture = fixture();
    let pairs: Vec<_> = fixture
        .samples
        .iter()
        .map(|sample| (sample.text.clone(), sample.expressions.as_slice()))
        .collect();
    let samples = caption_samples(&pairs, &Programs::default()).unwrap();
    let metric = Captioning::default();
    assert_scores(&metric, &samples, &fixture.scores);
    assert_eq!(metric.names().len(), fixture.scores.len());
}

#[test]
fn a_description_without_reference_is_refused() {
    let expressions: [&[&str]; 2] = [&["a dog"], &[]];
    let pairs = expressions.map(|expressions| ("a dog", expressions));
    let none = Programs::default();
    assert_eq!(caption_samples(&pairs, &none), Err(Error::NoReference));
    assert!(caption_samples::<&str>(&[], &none).unwrap().is_empty());
}

#[derive(Deserialize)]
struct Recorded {
    /// Lines to METEOR's program and its answers.
    program: Vec<[String; 2]>,
    /// Scores of the program for each description, and for the corpus.
    scores: Vec<f64>,
    score: f64,
}

#[test]
fn meteor_scores_what_its_program_counts_as_the_program_does() {
    let recorded: Recorded =
        serde_json::from_str(include_str!("../fixtures/meteor.json")).expect("the fixture is JSON");
    let mut all = MeteorStats::default();
    for ([_, counted], score) in recorded.program.iter().zip(&recorded.scores) {
        let stats = MeteorStats::parse(counted).unwrap();
        assert!((stats.score() - score).abs() < 1e-12, "{counted}");
        all.add(&stats);
    }
    assert!((all.score() - recorded.score).abs() < 1e-12);
    // All four stages occur.
    let at = |line: &str, place: usize| line.split(' ').nth(place) != Some("0.0");
    for stage in [4, 8, 12, 16] {
        assert!(
            recorded.program.iter().any(|[_, line]| at(line, stage)),
            "{stage}"
        );
    }
    assert_eq!(MeteorStats::parse("1.0 2.0"), None);
    assert_eq!(MeteorStats::parse("Exception in thread main"), None);
}

#[test]
fn programs_that_are_not_there_are_named() {
    let programs = Programs {
        meteor: Some("nowhere/meteor-1.5.jar".into()),
        spice: None,
    };
    let expressions: &[&str] = &["a dog"];
    let error = caption_samples(&[("a dog", expressions)], &programs).unwrap_err();
    assert!(matches!(
        error,
        Error::Program(ProgramError::Missing { .. })
    ));
    let line = error.to_string();
    assert!(line.contains("nowhere/meteor-1.5.jar") && line.contains("pycocoevalcap"));
}
