//! Answers chosen among several, by what they point at.
//!
//! The likeliest words are not always the best answer. A sound may be a cow's or a bull's, and only one of them is in the
//! picture: where the words point, the mask decoder estimates how well. A description that is likely may fit the
//! thing's neighbour just as well: asked for those words, the model points at both. So the likeliest answers are found
//! by beam search, each is tried, and the one with the best sum of the logarithms of its probability and of how well it
//! points is given (after Luo and Shakhnarovich 2017, *Comprehension-guided referring expressions*).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyref_decoder::rle::{Merge, Rle};
use anyref_llm::Beam;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::picture::Picture;
use crate::splice::ReferenceBank;
use crate::write::{Conversation, ReadQuestion};
use crate::{Answer, AnyRef, Mask, Prompt, Reference, Result};

/// How well an answer points is never counted as worse than this.
const LEAST: f64 = 1e-3;

/// How answers are chosen among several. The default takes the likeliest, as the paper does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CandidateConfig {
    /// Answers that are tried; with 1 the likeliest is given untried.
    pub count: usize,
    /// What the logarithm of the mask decoder's estimated IoU (of several masks the lowest) counts against that of the
    /// answer's probability.
    pub estimate_weight: f64,
    /// The estimate that an answer without a mask counts as.
    pub refusal_estimate: f64,
    /// What the logarithm of how well a description is understood counts: the IoU of what its words are answered with and
    /// what its reference means, times the estimate of the former.
    pub listener_weight: f64,
}

impl Default for CandidateConfig {
    fn default() -> Self {
        Self {
            count: 1,
            estimate_weight: 1.0,
            refusal_estimate: 0.1,
            listener_weight: 1.0,
        }
    }
}

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Masks.
    Masks,
    /// Words for its reference.
    Description,
}

/// The answer that was chosen, with all its masks.
#[derive(Debug)]
pub(crate) struct Chosen<B: Backend> {
    pub(crate) answer: Answer,
    /// Its tokens, and what it answers.
    pub(crate) tokens: Vec<u32>,
    pub(crate) question: ReadQuestion,
    pub(crate) bank: ReferenceBank<B>,
}

impl<B: Backend> AnyRef<B> {
    /// Whether answers are chosen among several; sampled ones never are.
    pub(crate) fn chooses(&self) -> bool {
        self.config.candidates.count > 1 && self.generation.is_greedy()
    }

    /// The best answer to the last question of a conversation.
    pub(crate) fn choose(&self, asked: Conversation<'_, B>, goal: Goal) -> Result<Chosen<B>> {
        let mut bank = ReferenceBank::default();
        let question = self.read(asked, &mut bank)?;
        let start = Instant::now();
        let beams = self.likeliest(asked, &question, &bank, self.config.candidates.count);
        let beams = self.distinct(beams)?;
        let tokens: Vec<Vec<u32>> = beams.iter().map(|beam| beam.tokens.clone()).collect();
        let searched = start.elapsed();

        let written = self.write_given(asked, &question, &bank, &tokens);
        let answers = self.point_at_all(&vec![asked; beams.len()], &written);
        let answers: Vec<Answer> = answers.into_iter().collect::<Result<_>>()?;
        let start = Instant::now();
        let fits = match goal {
            Goal::Masks => self.estimates(&answers),
            Goal::Description => self.agreements(asked, &answers)?,
        };
        let listened = start.elapsed();
        let value = |index: &usize| beams[*index].log_probability + fits[*index];
        let best = (0..answers.len())
            .rev()
            .max_by(|a, b| value(a).total_cmp(&value(b)));
        let best = best.expect("a search finds an answer");

        let sum = |part: fn(&Answer) -> Duration| answers.iter().map(part).sum::<Duration>();
        let mut timing = answers[best].timing;
        timing.image = sum(|answer| answer.timing.image);
        timing.generate = searched + sum(|answer| answer.timing.generate);
        timing.decode = listened + sum(|answer| answer.timing.decode);
        let mut answer = answers.into_iter().nth(best).unwrap_or_default();
        answer.timing = timing;
        Ok(Chosen {
            answer,
            tokens: tokens.into_iter().nth(best).unwrap_or_default(),
            question,
            bank,
        })
    }

    /// One of each text, the likeliest.
    fn distinct(&self, beams: Vec<Beam>) -> Result<Vec<Beam>> {
        let mut texts = BTreeSet::new();
        let mut kept = Vec::with_capacity(beams.len());
        for beam in beams {
            if texts.insert(self.tokenizer.decode(&beam.tokens)?) {
                kept.push(beam);
            }
        }
        Ok(kept)
    }

    /// How well each answer points, by the mask decoder's estimates.
    fn estimates(&self, answers: &[Answer]) -> Vec<f64> {
        let config = &self.config.candidates;
        let fit = |answer: &Answer| {
            let estimate = lowest_estimate(&answer.masks).unwrap_or(config.refusal_estimate);
            config.estimate_weight * estimate.max(LEAST).ln()
        };
        answers.iter().map(fit).collect()
    }

    /// How well what the words of each answer are answered with agrees with what the reference means. Nothing is
    /// known of a question with a text or several references, or where nothing is pointed at.
    fn agreements(&self, asked: Conversation<'_, B>, answers: &[Answer]) -> Result<Vec<f64>> {
        let references = asked.turns.last().map(|turn| &turn.references[..]);
        let meant = match references {
            // All of the box: how much of it the thing fills is the same for all answers.
            Some([Reference::Box(region)]) => Some(filled(*region, asked.picture.size())?),
            Some([reference @ (Reference::Image(_) | Reference::Audio(_))]) => {
                let found = self.pointed_at(asked.picture, vec![reference.clone()])?;
                found.into_iter().flatten().next().map(|(mask, _)| mask)
            }
            _ => None,
        };
        let Some(meant) = meant else {
            return Ok(vec![0.0; answers.len()]);
        };
        let words = answers.iter().map(|answer| {
            let words = answer.text.trim_end_matches('.').trim();
            Reference::Text(words.to_owned())
        });
        let understood = self.pointed_at(asked.picture, words.collect())?;
        let fit = |understood: Option<(Rle, f64)>| {
            let agreement = match understood {
                Some((mask, estimate)) => mask.iou(&meant)? * estimate,
                None => 0.0,
            };
            Ok(self.config.candidates.listener_weight * agreement.max(LEAST).ln())
        };
        understood.into_iter().map(fit).collect()
    }

    /// Everything that the likeliest answer to each reference points at, and the lowest of its estimates. Words that
    /// cannot be asked for, as none at all, point at nothing.
    fn pointed_at(
        &self,
        picture: &Picture<B>,
        references: Vec<Reference>,
    ) -> Result<Vec<Option<(Rle, f64)>>> {
        let prompts: Vec<Prompt> = references
            .into_iter()
            .map(|one| Prompt::new([one]))
            .collect();
        let asked: Vec<_> = prompts.iter().map(|prompt| (picture, prompt)).collect();
        let answers = self.likeliest_answers(&asked, Prompt::segmentation);
        let pointed = answers.into_iter().map(|answer| {
            let masks = answer.map_or(Vec::new(), |answer| answer.masks);
            let Some(estimate) = lowest_estimate(&masks) else {
                return Ok(None);
            };
            let united = Rle::merge(masks.iter().map(|mask| &mask.rle), Merge::Union)?;
            Ok(Some((united, estimate)))
        });
        pointed.collect()
    }
}

/// The mask of all pixels whose centres a box holds.
fn filled([x0, y0, x1, y1]: [f32; 4], (width, height): (u32, u32)) -> Result<Rle> {
    let inside = |at: u32, from: f32, to: f32| (from..to).contains(&(at as f32 + 0.5));
    let rows = (0..height).map(|y| inside(y, y0, y1));
    let pixels = rows.flat_map(|row| (0..width).map(move |x| row && inside(x, x0, x1)));
    let pixels: Vec<bool> = pixels.collect();
    Ok(Rle::from_mask(&pixels, [height as usize, width as usize])?)
}

/// The lowest estimate of some masks; none without a mask.
fn lowest_estimate(masks: &[Mask]) -> Option<f64> {
    let scores = masks.iter().map(|mask| f64::from(mask.score));
    scores.reduce(f64::min)
}
