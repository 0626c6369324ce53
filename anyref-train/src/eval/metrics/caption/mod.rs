//! Descriptions against reference expressions: BLEU, ROUGE-L, CIDEr and the exact stage of METEOR.
//!
//! BLEU, ROUGE-L and CIDEr are pycocoevalcap's, number for number, on the words of [`tokenize`].
//!
//! METEOR is METEOR 1.5's with one of its four stages, the one that matches equal words, and with words of content
//! and function weighed alike (`-m exact -p "0.85 0.2 0.6 0.5"` of its program, on these words as they are). What is
//! missing: stems, WordNet's synonyms and the table of paraphrases, which are data of that program. So the figure
//! is lower than the METEOR of papers, and only comparable with itself.
//!
//! SPICE is left out: its parser of scenes is a Java program with language models of its own.

mod bleu;
mod cider;
mod meteor;
mod ngrams;
mod rouge;
mod tokenizer;

pub use tokenizer::tokenize;

use super::{Error, Metric, Result, ratio};

/// What is missing from [`Captioning`], in a sentence for users.
pub const LEFT_OUT: &str = "METEOR (exact) matches equal words only, without stems, synonyms and paraphrases: \
    do not compare it with published METEOR. SPICE is left out: it needs a Java program and its language models.";

/// What one description adds.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptionSample {
    bleu: bleu::Counts,
    rouge: f64,
    cider: f64,
    meteor: meteor::Counts,
}

/// Compares descriptions with the expressions that people gave. How rare words are, which CIDEr weighs, is told
/// from all references given here.
pub fn caption_samples<S: AsRef<str>>(described: &[(S, &[S])]) -> Result<Vec<CaptionSample>> {
    let tokenized: Vec<(Vec<String>, Vec<Vec<String>>)> = described
        .iter()
        .map(|(text, expressions)| match expressions.is_empty() {
            true => Err(Error::NoReference),
            false => Ok((
                tokenize(text.as_ref()),
                expressions.iter().map(|e| tokenize(e.as_ref())).collect(),
            )),
        })
        .collect::<Result<_>>()?;
    let cider = cider::scores(&tokenized);
    Ok(tokenized
        .iter()
        .zip(cider)
        .map(|((text, references), cider)| CaptionSample {
            bleu: bleu::Counts::of(text, references),
            rouge: rouge::score(text, references),
            cider,
            meteor: meteor::Counts::of(text, references),
        })
        .collect())
}

/// Scores of descriptions. BLEU and METEOR are of all descriptions together, the others are means.
#[derive(Debug, Clone, Copy, Default)]
pub struct Captioning;

impl Metric for Captioning {
    type Sample = CaptionSample;

    fn names(&self) -> Vec<String> {
        let names = [
            "BLEU-1",
            "BLEU-2",
            "BLEU-3",
            "BLEU-4",
            "ROUGE-L",
            "CIDEr",
            "METEOR (exact)",
        ];
        names.map(str::to_owned).into()
    }

    fn scores<'a>(&self, samples: impl Iterator<Item = &'a CaptionSample>) -> Vec<Option<f64>> {
        let (mut bleu, mut meteor) = (bleu::Counts::default(), meteor::Counts::default());
        let (mut rouge, mut cider, mut count) = (0.0, 0.0, 0.0);
        for sample in samples {
            bleu.add(&sample.bleu);
            meteor.add(&sample.meteor);
            rouge += sample.rouge;
            cider += sample.cider;
            count += 1.0;
        }
        let any = |score: f64| (count > 0.0).then_some(score);
        let mut scores: Vec<_> = bleu.scores().map(any).into();
        scores.extend([
            ratio(rouge, count),
            ratio(cider, count),
            any(meteor.score()),
        ]);
        scores
    }
}
