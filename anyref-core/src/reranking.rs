//! Choice among several answers, by how well they point. Each candidate is generated and decoded by
//! the steps of any answer; this file only makes the choice.
//!
//! The likeliest words are not always the best answer. A sound may be a cow's or a bull's, with
//! only one of them in the picture; the mask decoder estimates how well each answer points. A
//! likely description may fit the object's neighbour just as well: asked for those words, the model
//! points at both. Asked for the content of a box, it may point at all objects of its kind. Beam
//! search therefore finds the likeliest answers, each is tried, and the one with the best sum of
//! its log-probability and the log of how well it points is chosen (after Luo and Shakhnarovich
//! 2017, *Comprehension-guided referring expressions*).

use std::collections::BTreeSet;

use anyref_decoder::rle::{Merge, Rle};
use anyref_llm::{Beam, BeamConfig};
use burn::tensor::backend::Backend;
use web_time::Instant;

use crate::candidates::LEAST;
use crate::conversation::{Conversation, Goal, Turn};
use crate::generation::Prefilled;
use crate::observer::{Cancel, unobserved};
use crate::{Answer, AnyRef, Error, Mask, Prompt, Reference, Result, Timing};

/// Difference of sums below which answers are tied, since backends round differently.
const TIE: f64 = 1e-3;

/// Measure of how well an answer points.
enum Measure {
    /// Estimates of the mask decoder; an answer without a mask counts as `refusal`.
    Estimates { refusal: f64 },
    /// Estimates times the IoU of this box and the box around the masks.
    WithinBox([f32; 4]),
    /// IoU of this mask and the masks for the answer's words.
    Listener(Rle),
    /// No measure.
    Unknown,
}

/// Chosen answer, with all its masks.
#[derive(Debug)]
pub(crate) struct Chosen<B: Backend> {
    pub(crate) answer: Answer,
    pub(crate) tokens: Vec<u32>,
    /// Question that it answers.
    pub(crate) question: Prefilled<B>,
}

impl<B: Backend> AnyRef<B> {
    /// Returns whether the answer to a conversation is chosen among several; sampled answers never
    /// are.
    pub(crate) fn reranks(&self, asked: Conversation<'_, B>) -> bool {
        let several = self.config.candidates.count > 1 && self.generation.is_greedy();
        several && asked.has_measure()
    }

    /// Finds the best answer to the last question of a conversation.
    ///
    /// # Errors
    /// When the likeliest answer has no finite probability; also see [`AnyRef::segment`].
    pub(crate) async fn rerank(
        &self,
        asked: Conversation<'_, B>,
        cancel: &Cancel,
    ) -> Result<Chosen<B>> {
        cancel.check()?;
        let question = self.prefill(asked, self.encode_question(asked)?);
        let mut timing = question.timing;
        let start = Instant::now();
        let config = &self.config.candidates;
        let (weight, token_cost) = match asked.goal {
            Goal::Segment | Goal::Chat => (config.estimate_weight, 0.0),
            Goal::Describe => (config.listener_weight, config.token_cost),
        };
        let width = BeamConfig {
            beams: config.count,
            // Beyond this margin, even the best pointing cannot make up for the difference.
            margin: weight * -LEAST.ln(),
        };
        let beams = self.distinct(self.search_beams(&question, width, cancel).await?)?;
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

        let measure = self.measure(asked, cancel, &mut timing).await?;
        let likeliest = &tokens[..1];
        let mut answers = self
            .tried(asked, &question, likeliest, cancel, &mut timing)
            .await?;
        let mut fits = self
            .fits(&measure, asked, &answers, cancel, &mut timing)
            .await?;
        // Pointing is at most perfect, so the others are tried only while they could still be the
        // best.
        let reached = worth[0] + fits[0];
        let promising = worth[1..].partition_point(|worth| *worth > reached);
        if promising > 0 {
            let promising = &tokens[1..=promising];
            let more = self
                .tried(asked, &question, promising, cancel, &mut timing)
                .await?;
            let more_fits = self
                .fits(&measure, asked, &more, cancel, &mut timing)
                .await?;
            fits.extend(more_fits);
            answers.extend(more);
        }
        let value = |index: usize| worth[index] + fits[index];
        // Ties go to the likelier answer, regardless of rounding.
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

    /// Decodes some answers with all their masks.
    async fn tried(
        &self,
        asked: Conversation<'_, B>,
        question: &Prefilled<B>,
        tokens: &[Vec<u32>],
        cancel: &Cancel,
        timing: &mut Timing,
    ) -> Result<Vec<Answer>> {
        cancel.check()?;
        let start = Instant::now();
        let generated = self.read_answers(question, tokens);
        timing.generate += start.elapsed();
        let answers = self.decode(&vec![asked; tokens.len()], &generated).await?;
        let answers: Vec<Answer> = answers.into_iter().collect::<Result<_>>()?;
        for answer in &answers {
            *timing += answer.timing;
        }
        Ok(answers)
    }

    /// Keeps the likeliest beam of each text.
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

    /// Measure of answers to the last question of a conversation; [`Measure::Unknown`] for a
    /// description of a text or of several references, or of a reference that points at nothing.
    async fn measure(
        &self,
        asked: Conversation<'_, B>,
        cancel: &Cancel,
        timing: &mut Timing,
    ) -> Result<Measure> {
        let turn = asked.turns.last();
        let references = turn.map_or(&[][..], |turn| &turn.prompt.references);
        if asked.goal != Goal::Describe {
            let refusal = self.config.candidates.refusal(references);
            let region = turn.and_then(Turn::asked_box);
            return Ok(region.map_or(Measure::Estimates { refusal }, Measure::WithinBox));
        }
        let meant = match references {
            // The whole box: the share of it that the object fills is equal for all answers.
            [Reference::Box(region)] => Some(filled(*region, asked.picture.size())?),
            [reference @ Reference::Mask(_)] => match reference.region() {
                Some(region) => Some(filled(region, asked.picture.size())?),
                None => None,
            },
            [reference @ (Reference::Image(_) | Reference::Audio(_))] => {
                let reference = vec![reference.clone()];
                let found = self.pointed_at(asked, reference, cancel, timing).await?;
                found.into_iter().flatten().next().map(|(mask, _)| mask)
            }
            _ => None,
        };
        Ok(meant.map_or(Measure::Unknown, Measure::Listener))
    }

    /// Log score of how well each answer points; 0 at best.
    async fn fits(
        &self,
        measure: &Measure,
        asked: Conversation<'_, B>,
        answers: &[Answer],
        cancel: &Cancel,
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
                // The box has content, so an answer without masks is the worst.
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
                let understood = self
                    .pointed_at(asked, words.collect(), cancel, timing)
                    .await?;
                understood.into_iter().map(fit).collect()
            }
        }
    }

    /// Union of all masks of the greedy answers to each reference in the picture, and the lowest of
    /// their estimates. An invalid reference, such as one without words, points at nothing.
    async fn pointed_at(
        &self,
        asked: Conversation<'_, B>,
        references: Vec<Reference>,
        cancel: &Cancel,
        timing: &mut Timing,
    ) -> Result<Vec<Option<(Rle, f64)>>> {
        let turns = references.into_iter().map(|reference| {
            let turn = Turn::new(
                Prompt::new([reference]),
                Goal::Segment,
                &self.config.prompts,
            )?;
            Ok([turn])
        });
        let turns: Vec<Result<[Turn; 1]>> = turns.collect();
        let about = |turns| Conversation {
            picture: asked.picture,
            turns,
            goal: Goal::Segment,
        };
        let conversations = turns.iter().flatten().map(|turns| about(&turns[..]));
        let conversations: Vec<_> = conversations.collect();
        let answers = self
            .unranked_answers(&conversations, &mut unobserved, cancel)
            .await;
        let mut answers = answers.into_iter();
        let answers = turns.into_iter().map(|turns| {
            turns?;
            answers.next().expect("an answer to every question")
        });
        let pointed = answers.map(|answer| {
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

/// Mask of all pixels whose centres lie in a box.
fn filled([x0, y0, x1, y1]: [f32; 4], (width, height): (u32, u32)) -> Result<Rle> {
    let inside = |at: u32, from: f32, to: f32| (from..to).contains(&(at as f32 + 0.5));
    let rows = (0..height).map(|y| inside(y, y0, y1));
    let pixels = rows.flat_map(|row| (0..width).map(move |x| row && inside(x, x0, x1)));
    let pixels: Vec<bool> = pixels.collect();
    Ok(Rle::from_mask(&pixels, [height as usize, width as usize])?)
}

/// Box `[x0, y0, x1, y1]` around all pixels of some masks; empty without pixels.
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

/// IoU of two boxes `[x0, y0, x1, y1]`; 0 for two boxes without area.
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

/// Lowest estimate of some masks; `None` without masks.
fn lowest_estimate(masks: &[Mask]) -> Option<f64> {
    let scores = masks.iter().map(|mask| f64::from(mask.score));
    scores.reduce(f64::min)
}
