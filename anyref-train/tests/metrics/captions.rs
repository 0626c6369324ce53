//! Words and scores of descriptions against pycocoevalcap and METEOR 1.5.

use anyref_train::eval::metrics::caption::{Captioning, caption_samples, tokenize};
use anyref_train::eval::metrics::{Error, Metric};
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
    /// As the Penn Treebank tokenizer cuts them, with a space between.
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
    let samples = caption_samples(&pairs).unwrap();
    assert_scores(&Captioning, &samples, &fixture.scores);
    assert_eq!(Captioning.names().len(), fixture.scores.len());
}

#[test]
fn a_description_without_reference_is_refused() {
    let expressions: [&[&str]; 2] = [&["a dog"], &[]];
    let pairs = expressions.map(|expressions| ("a dog", expressions));
    assert_eq!(caption_samples(&pairs), Err(Error::NoReference));
    assert!(caption_samples::<&str>(&[]).unwrap().is_empty());
}
