//! Scores of descriptions against reference expressions: BLEU, ROUGE-L, CIDEr, METEOR and SPICE.
//!
//! BLEU, ROUGE-L and CIDEr equal pycocoevalcap's, number for number, on the words of [`tokenize`].
//!
//! METEOR (exact) has one of METEOR 1.5's four stages, the one that matches equal words, with equal
//! weights for content and function words (`-m exact -p "0.85 0.2 0.6 0.5"` of its program, on
//! these words as they are). It lacks stems, WordNet's synonyms and the paraphrase table, which are
//! data of that program. Its values are lower than the METEOR of papers, and comparable only with
//! one another.
//!
//! Full METEOR and SPICE are Java [`Programs`], run if the user has them.

mod bleu;
mod cider;
mod meteor;
mod ngrams;
mod program;
mod rouge;
mod tokenizer;

pub use program::{MeteorStats, ProgramError, Programs};
pub use tokenizer::tokenize;

use super::error::{Error, Result};
use super::metric::{Metric, ratio};
use tokenizer::Words;

/// Counts and scores of one description.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptionSample {
    bleu: bleu::Counts,
    rouge: f64,
    cider: f64,
    exact: meteor::Counts,
    meteor: Option<MeteorStats>,
    spice: Option<f64>,
}

impl CaptionSample {
    /// ROUGE-L of this description.
    pub fn rouge(&self) -> f64 {
        self.rouge
    }
}

/// Compares descriptions with their reference expressions. CIDEr takes its document frequencies
/// from all references given here.
///
/// # Errors
/// When a description has no reference expression, or a program fails.
pub fn caption_samples<S: AsRef<str>>(
    described: &[(S, &[S])],
    programs: &Programs,
) -> Result<Vec<CaptionSample>> {
    let tokenized: Vec<(Words, Vec<Words>)> = described
        .iter()
        .map(|(text, expressions)| match expressions.is_empty() {
            true => Err(Error::NoReference),
            false => Ok((
                tokenize(text.as_ref()),
                expressions.iter().map(|e| tokenize(e.as_ref())).collect(),
            )),
        })
        .collect::<Result<_>>()?;
    let asked = programs.ask(&tokenized)?;
    let cider = cider::scores(&tokenized);
    Ok(tokenized
        .iter()
        .zip(cider)
        .enumerate()
        .map(|(index, ((text, references), cider))| CaptionSample {
            bleu: bleu::Counts::of(text, references),
            rouge: rouge::score(text, references),
            cider,
            exact: meteor::Counts::of(text, references),
            meteor: asked.meteor.as_ref().map(|stats| stats[index]),
            spice: asked.spice.as_ref().map(|scores| scores[index]),
        })
        .collect())
}

/// Scores of descriptions. BLEU and METEOR are of the whole corpus, the others are means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Captioning {
    /// Whether METEOR's program was run.
    pub meteor: bool,
    /// Whether SPICE's program was run.
    pub spice: bool,
}

impl Captioning {
    /// Scores including those of the given programs.
    pub fn new(programs: &Programs) -> Self {
        Self {
            meteor: programs.meteor.is_some(),
            spice: programs.spice.is_some(),
        }
    }

    /// Note for users about missing scores; `None` when none is missing.
    pub fn left_out(&self) -> Option<String> {
        let mut text = "METEOR (exact) matches equal words only, without stems, synonyms and paraphrases: do not \
                        compare it with published METEOR."
            .to_owned();
        text += match (self.meteor, self.spice) {
            (true, true) => return None,
            (false, false) => {
                " The whole of METEOR, and SPICE, are Java programs: give --meteor-jar and --spice-jar."
            }
            (false, true) => " The whole of it is a Java program: give --meteor-jar.",
            (true, false) => return Some("SPICE is a Java program: give --spice-jar.".to_owned()),
        };
        Some(text)
    }
}

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
        let asked = [("METEOR", self.meteor), ("SPICE", self.spice)];
        let asked = asked.into_iter().filter(|(_, asked)| *asked);
        let names = names.into_iter().chain(asked.map(|(name, _)| name));
        names.map(str::to_owned).collect()
    }

    fn scores<'a>(&self, samples: impl Iterator<Item = &'a CaptionSample>) -> Vec<Option<f64>> {
        let (mut bleu, mut exact) = (bleu::Counts::default(), meteor::Counts::default());
        let (mut rouge, mut cider, mut spice, mut count) = (0.0, 0.0, 0.0, 0.0);
        let mut whole = MeteorStats::default();
        for sample in samples {
            bleu.add(&sample.bleu);
            exact.add(&sample.exact);
            sample.meteor.iter().for_each(|stats| whole.add(stats));
            rouge += sample.rouge;
            cider += sample.cider;
            spice += sample.spice.unwrap_or(f64::NAN);
            count += 1.0;
        }
        let any = |score: f64| (count > 0.0).then_some(score);
        let mut scores: Vec<_> = bleu.scores().map(any).into();
        scores.extend([ratio(rouge, count), ratio(cider, count), any(exact.score())]);
        if self.meteor {
            scores.push(any(whole.score()));
        }
        if self.spice {
            scores.push(ratio(spice, count).filter(|score| score.is_finite()));
        }
        scores
    }
}
