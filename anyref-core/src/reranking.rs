//! Answers chosen among several, by what they point at.
//!
//! The likeliest words are not always the best answer. A sound may be a cow's or a bull's, and only one of them is in the
//! picture: where the words point, the mask decoder estimates how well. A description that is likely may fit the
//! thing's neighbour just as well: asked for those words, the model points at both. Asked for what is in a box, it may
//! point at all of its kind. So the likeliest answers are found by beam search, each is tried, and the one with the best
//! sum of the logarithms of its probability and of how well it points is given (after Luo and Shakhnarovich 2017,
//! *Comprehension-guided referring expressions*).

use std::collections::BTreeSet;
use std::time::Instant;

use anyref_decoder::rle::{Merge, Rle};
use anyref_llm::{Beam, BeamConfig};
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::generation::{Conversation, OpenQuestion, Turn};
use crate::picture::Picture;
use crate::prompt::{DESCRIBE_QUESTION, Question};
use crate::splice::ReferenceBank;
use crate::{Answer, AnyRef, Error, Mask, Prompt, Reference, Result, Timing};

/// The most answers that are tried.
pub const MAX_CANDIDATES: usize = 64;
/// How well an answer points is never counted as worse than this.
const LEAST: f64 = 1e-3;
/// Sums that differ by no more are as good as one another: they are rounded otherwise on every backend.
const TIE: f64 = 1e-3;

/// How answers are chosen among several, for masks and for descriptions by the default question; a chat, which shows
/// answers as they are written, chooses none. By default nothing is chosen: answers are generated greedily, as the
/// paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CandidateConfig {
    /// Answers that are tried, at most; 1 is greedy generation.
    pub count: usize,
    /// What the logarithm of the mask decoder's estimated IoU (of several masks the lowest) counts against that of the
    /// answer's probability. Where the default question asks for masks of what is in one box, the estimate is multiplied
    /// by the IoU of that box and the one around the masks, and an answer without masks counts as the worst.
    pub estimate_weight: f64,
    /// The estimate that an answer without a mask counts as.
    pub refusal_estimate: f64,
    /// The same where the only reference is a picture, which shows what is sought even where the model calls it by a wrong
    /// name; [`refusal_estimate`](Self::refusal_estimate) when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_refusal_estimate: Option<f64>,
    /// What the logarithm of how well a description is understood counts: the IoU of what its words are answered with and
    /// what its reference means, times the estimate of the former.
    pub listener_weight: f64,
    /// What each token of a description costs, as a logarithm: a longer one has to be understood better.
    pub token_cost: f64,
}

impl Default for CandidateConfig {
    fn default() -> Self {
        Self {
            count: 1,
            estimate_weight: 1.0,
            refusal_estimate: 0.1,
            picture_refusal_estimate: None,
            listener_weight: 1.0,
            token_cost: 0.0,
        }
    }
}

impl CandidateConfig {
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// When `count` is not 1 to [`MAX_CANDIDATES`], a weight is negative or not a number, or an estimate not 0 to 1.
    pub fn validate(&self) -> Result<()> {
        let problem = |field, problem: String| Err(Error::Config { field, problem });
        if !(1..=MAX_CANDIDATES).contains(&self.count) {
            let count = self.count;
            return problem(
                "candidates.count",
                format!("is {count}: make it 1 to {MAX_CANDIDATES}"),
            );
        }
        let picture = self.picture_refusal_estimate.unwrap_or_default();
        for (field, estimate) in [
            ("candidates.refusal_estimate", self.refusal_estimate),
            ("candidates.picture_refusal_estimate", picture),
        ] {
            if !(0.0..=1.0).contains(&estimate) {
                return problem(field, format!("is {estimate}: make it 0 to 1"));
            }
        }
        let weights = [
            ("candidates.estimate_weight", self.estimate_weight),
            ("candidates.listener_weight", self.listener_weight),
            ("candidates.token_cost", self.token_cost),
        ];
        for (field, weight) in weights {
            if !(weight.is_finite() && weight >= 0.0) {
                return problem(field, format!("is {weight}: make it 0 or more"));
            }
        }
        Ok(())
    }

    /// The estimate that an answer without a mask counts as, for these references.
    fn refusal(&self, references: &[Reference]) -> f64 {
        match (references, self.picture_refusal_estimate) {
            ([Reference::Image(_)], Some(estimate)) => estimate,
            _ => self.refusal_estimate,
        }
    }

    /// How well an answer of this estimate points: 0 at best.
    fn points(&self, estimate: f64) -> f64 {
        self.estimate_weight * estimate.max(LEAST).ln()
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

impl Goal {
    /// The question of a prompt.
    pub(crate) fn question(self, prompt: &Prompt) -> Result<Question> {
        match self {
            Self::Masks => prompt.segmentation(),
            Self::Description => prompt.description(),
        }
    }

    /// Whether nothing is known of what would be a good answer.
    pub(crate) fn is_open(self, prompt: &Prompt) -> bool {
        let question = prompt.question.as_deref();
        self == Self::Description && question.is_some_and(|question| question != DESCRIBE_QUESTION)
    }
}

/// What tells how well an answer points.
enum Measure {
    /// The mask decoder's estimates, and what an answer without a mask counts as.
    Estimates {
        /// That.
        refusal: f64,
    },
    /// Those, and how well the box around the masks agrees with this one.
    WithinBox([f32; 4]),
    /// What its words are answered with, against what they should mean.
    Listener(Rle),
    /// Nothing.
    Unknown,
}

/// The answer that was chosen, with all its masks.
#[derive(Debug)]
pub(crate) struct Chosen<B: Backend> {
    pub(crate) answer: Answer,
    /// Its tokens, and what it answers.
    pub(crate) tokens: Vec<u32>,
    pub(crate) question: OpenQuestion<B>,
}

impl<B: Backend> AnyRef<B> {
    /// Whether answers are chosen among several; sampled ones never are.
    pub(crate) fn chooses(&self) -> bool {
        self.config.candidates.count > 1 && self.generation.is_greedy()
    }

    /// The best answer to the last question of a conversation.
    ///
    /// # Errors
    /// When the likeliest answer has no finite probability, besides those of [`AnyRef::segment`].
    pub(crate) fn choose(&self, asked: Conversation<'_, B>, goal: Goal) -> Result<Chosen<B>> {
        let mut bank = ReferenceBank::default();
        let question = self.read(asked, &mut bank)?;
        let question = self.open(asked, question, &bank);
        let mut timing = question.timing;
        let start = Instant::now();
        let config = &self.config.candidates;
        let (weight, token_cost) = match goal {
            Goal::Masks => (config.estimate_weight, 0.0),
            Goal::Description => (config.listener_weight, config.token_cost),
        };
        let width = BeamConfig {
            beams: config.count,
            // Further behind, the best and the worst of pointing do not make up for it.
            margin: weight * -LEAST.ln(),
        };
        let beams = self.distinct(self.search(&question, width))?;
        if beams
            .first()
            .is_none_or(|best| !best.log_probability.is_finite())
        {
            return Err(Error::NotFinite);
        }
        let cost = |beam: &Beam| token_cost * beam.tokens.len() as f64;
        let mut beams: Vec<(f64, Beam)> = beams
            .into_iter()
            .map(|beam| (beam.log_probability - cost(&beam), beam))
            .collect();
        beams.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let (worth, mut tokens): (Vec<f64>, Vec<Vec<u32>>) = beams
            .into_iter()
            .map(|(worth, beam)| (worth, beam.tokens))
            .unzip();
        timing.generate += start.elapsed();

        let measure = self.measure(asked, goal, &mut timing)?;
        let mut answers = self.tried(asked, &question, &tokens[..1], &mut timing)?;
        let mut fits = self.fits(&measure, asked.picture, &answers, &mut timing)?;
        // No answer points better than perfectly: the others are tried as far as they could still be the best.
        let reached = worth[0] + fits[0];
        let promising = worth[1..].partition_point(|worth| *worth > reached);
        if promising > 0 {
            let more = self.tried(asked, &question, &tokens[1..=promising], &mut timing)?;
            fits.extend(self.fits(&measure, asked.picture, &more, &mut timing)?);
            answers.extend(more);
        }
        let value = |index: usize| worth[index] + fits[index];
        // The likelier of equals, however the last digits are rounded.
        let best =
            (1..answers.len()).fold(0, |best, other| match value(other) > value(best) + TIE {
                true => other,
                false => best,
            });
        let mut answer = answers.swap_remove(best);
        answer.timing = timing;
        Ok(Chosen {
            answer,
            tokens: tokens.swap_remove(best),
            question,
        })
    }

    /// Some answers with all their masks.
    fn tried(
        &self,
        asked: Conversation<'_, B>,
        question: &OpenQuestion<B>,
        tokens: &[Vec<u32>],
        timing: &mut Timing,
    ) -> Result<Vec<Answer>> {
        let start = Instant::now();
        let written = self.write_given(question, tokens);
        timing.generate += start.elapsed();
        let answers = self.point(&vec![asked; tokens.len()], &written);
        let answers: Vec<Answer> = answers.into_iter().collect::<Result<_>>()?;
        for answer in &answers {
            *timing += answer.timing;
        }
        Ok(answers)
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

    /// What answers to the last question of a conversation are measured by. Nothing is known of a description of a text
    /// or of several references, or of one that points at nothing.
    fn measure(
        &self,
        asked: Conversation<'_, B>,
        goal: Goal,
        timing: &mut Timing,
    ) -> Result<Measure> {
        let turn = asked.turns.last();
        if goal == Goal::Masks {
            let references = turn.map_or(&[][..], |turn| &turn.references);
            let refusal = self.config.candidates.refusal(references);
            let region = turn.and_then(Turn::asked_for);
            return Ok(region.map_or(Measure::Estimates { refusal }, Measure::WithinBox));
        }
        let meant = match turn.map(|turn| &turn.references[..]) {
            // All of the box: how much of it the thing fills is the same for all answers.
            Some([Reference::Box(region)]) => Some(filled(*region, asked.picture.size())?),
            Some([reference @ (Reference::Image(_) | Reference::Audio(_))]) => {
                let found = self.pointed_at(asked.picture, vec![reference.clone()], timing)?;
                found.into_iter().flatten().next().map(|(mask, _)| mask)
            }
            _ => None,
        };
        Ok(meant.map_or(Measure::Unknown, Measure::Listener))
    }

    /// How well each answer points: 0 at best.
    fn fits(
        &self,
        measure: &Measure,
        picture: &Picture<B>,
        answers: &[Answer],
        timing: &mut Timing,
    ) -> Result<Vec<f64>> {
        let config = &self.config.candidates;
        match measure {
            Measure::Unknown => Ok(vec![0.0; answers.len()]),
            Measure::Estimates { refusal } => {
                let estimates = answers.iter().map(|answer| lowest_estimate(&answer.masks));
                let fit = |estimate: Option<f64>| config.points(estimate.unwrap_or(*refusal));
                Ok(estimates.map(fit).collect())
            }
            Measure::WithinBox(region) => {
                // Something is in it, so that an answer without masks is the worst.
                let fit = |answer: &Answer| {
                    let estimate = lowest_estimate(&answer.masks).unwrap_or(0.0);
                    let place = overlap(around(&answer.masks), region.map(f64::from));
                    config.points(estimate * place)
                };
                Ok(answers.iter().map(fit).collect())
            }
            Measure::Listener(meant) => {
                let words = answers.iter().map(|answer| {
                    let words = answer.text.trim_end_matches('.').trim();
                    Reference::Text(words.to_owned())
                });
                let fit = |understood: Option<(Rle, f64)>| {
                    let agreement = match understood {
                        Some((mask, estimate)) => mask.iou(meant)? * estimate,
                        None => 0.0,
                    };
                    Ok(config.listener_weight * agreement.max(LEAST).ln())
                };
                let understood = self.pointed_at(picture, words.collect(), timing)?;
                understood.into_iter().map(fit).collect()
            }
        }
    }

    /// Everything that the greedy answer to each reference points at, and the lowest of its estimates. What cannot be
    /// asked for, as no words at all, points at nothing.
    fn pointed_at(
        &self,
        picture: &Picture<B>,
        references: Vec<Reference>,
        timing: &mut Timing,
    ) -> Result<Vec<Option<(Rle, f64)>>> {
        let prompts: Vec<Prompt> = references
            .into_iter()
            .map(|one| Prompt::new([one]))
            .collect();
        let asked: Vec<_> = prompts.iter().map(|prompt| (picture, prompt)).collect();
        let answers = self.greedy_answers(&asked, Goal::Masks);
        let pointed = answers.into_iter().map(|answer| {
            let masks = match answer {
                Ok(answer) => {
                    *timing += answer.timing;
                    answer.masks
                }
                Err(error) if error.refuses_question() => Vec::new(),
                Err(error) => return Err(error),
            };
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

/// The box `[x0, y0, x1, y1]` around all pixels of some masks; nowhere around no pixel.
fn around(masks: &[Mask]) -> [f64; 4] {
    let boxes = masks.iter().filter(|mask| mask.area() > 0);
    let boxes = boxes.map(|mask| mask.bounding_box().map(f64::from));
    let united = boxes.reduce(|a, b| {
        [
            a[0].min(b[0]),
            a[1].min(b[1]),
            a[2].max(b[2]),
            a[3].max(b[3]),
        ]
    });
    united.unwrap_or_default()
}

/// The IoU of two boxes `[x0, y0, x1, y1]`; 0 of two without an area.
fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |b: [f64; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let both = area([
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ]);
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// The lowest estimate of some masks; none without a mask.
fn lowest_estimate(masks: &[Mask]) -> Option<f64> {
    let scores = masks.iter().map(|mask| f64::from(mask.score));
    scores.reduce(f64::min)
}
