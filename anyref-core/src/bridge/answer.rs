//! Answers to prompts with references that a model was not trained with.

use anyref_audio::Waveform;
use anyref_vision::preprocess::squared;
use burn::tensor::backend::Backend;
use web_time::Instant;

use super::naming::{DISTINCT, SHORT};
use super::record::{Bridge, BridgeWay};
use super::rewrite::labels;
use super::similarity::with_pieces;
use crate::conversation::{Conversation, Goal, Turn};
use crate::observer::{Cancel, Observer};
use crate::picture::Picture;
use crate::prompt_config::DESCRIBE_QUESTION;
use crate::sam::{MaskPrompt, Multimask};
use crate::{
    Answer, AnyRef, Error, Mask, Prompt, Reference, ReferenceImage, ReferenceKind, Result, Timing,
};

/// IoU with the box's own mask from which on a short name is good enough.
const UNDERSTOOD: f64 = 0.7;

impl<B: Backend> AnyRef<B> {
    /// Answers a prompt of which [`bridges`](Self::bridges) holds.
    ///
    /// # Errors
    /// When a reference cannot be bridged, as [`segment`](Self::segment), and when it is cancelled.
    pub(crate) async fn bridged_answer(
        &self,
        picture: &Picture<B>,
        prompt: &Prompt,
        goal: Goal,
        observer: &mut dyn Observer,
        cancel: &Cancel,
    ) -> Result<Answer> {
        // A question of one's own needs words in it.
        let asks = prompt.question.as_deref();
        let default = match goal {
            Goal::Segment => asks.is_none(),
            Goal::Describe => asks.is_none_or(|question| question == DESCRIBE_QUESTION),
            Goal::Chat => false,
        };
        match &prompt.references[..] {
            [reference @ (Reference::Box(_) | Reference::Mask(_))] if default => {
                reference.fits(picture.size())?;
                let region = reference.region().ok_or(Error::EmptyRegion)?;
                match goal {
                    Goal::Segment => self.boxed(picture, region).await,
                    _ => self.describe_box(picture, region, cancel).await,
                }
            }
            [Reference::Image(shown)] if default && goal == Goal::Segment => {
                self.lookalike(picture, shown, cancel).await
            }
            [Reference::Audio(sound)] if default && goal == Goal::Segment => {
                self.sounding(picture, sound, cancel).await
            }
            [reference] if default => self.describe_other(picture, reference, cancel).await,
            _ => {
                let (words, bridges) = self.in_words(picture, prompt, cancel).await?;
                let turns = [Turn::new(words, goal, &self.config.prompts)?];
                let asked = Conversation {
                    picture,
                    turns: &turns,
                    goal,
                };
                let mut answers = self.answers(&[asked], observer, cancel).await;
                let mut answer = answers.remove(0)?;
                answer.bridges = bridges;
                Ok(answer)
            }
        }
    }

    /// Predicts the mask for a box with SAM's own prompt.
    async fn boxed(&self, picture: &Picture<B>, region: [f32; 4]) -> Result<Answer> {
        let start = Instant::now();
        let mask = self.box_mask(picture, region).await?;
        let answer = Answer {
            masks: vec![mask],
            bridges: vec![first(ReferenceKind::Box, BridgeWay::BoxPrompt)],
            timing: Timing {
                image: picture.take_encoding_time(),
                decode: start.elapsed(),
                ..Timing::default()
            },
            ..Answer::default()
        };
        let answer = self.device_checked(Ok(answer))?;
        Ok(self.without_doubtful(answer))
    }

    async fn box_mask(&self, picture: &Picture<B>, region: [f32; 4]) -> Result<Mask> {
        let prompt = MaskPrompt::default().with_region(region);
        let sam = self.sam().ok_or(Error::NoMasks)?;
        let predictions = sam
            .predict_async(picture.sam()?, &[prompt], Multimask::Never)
            .await?;
        Ok(predictions[0].best().mask.clone())
    }

    /// Describes a box: the crop's short name, unless that is understood as something else in the
    /// whole picture and a longer one is not. A model without masks cannot be checked, so its first
    /// name is used.
    async fn describe_box(
        &self,
        picture: &Picture<B>,
        region: [f32; 4],
        cancel: &Cancel,
    ) -> Result<Answer> {
        let start = Instant::now();
        let crop = self.crop(picture, region)?;
        let meant = match self.config.makes_masks() {
            true => Some(self.box_mask(picture, region).await?),
            false => None,
        };
        let mut best: Option<(f64, String)> = None;
        for question in [SHORT, DISTINCT] {
            let name = self.name(&crop, ReferenceKind::Box, question, cancel).await;
            let name = match (name, &best) {
                (Ok(name), _) => name,
                (Err(error), None) => return Err(error),
                (Err(_), Some(_)) => continue,
            };
            let Some(meant) = &meant else {
                best = Some((UNDERSTOOD, name));
                break;
            };
            let understood = self.understood(picture, &name, meant, cancel).await?;
            log::debug!("{name:?} is understood with an IoU of {understood:.3}");
            if best.as_ref().is_none_or(|(other, _)| understood > *other) {
                best = Some((understood, name));
            }
            if understood >= UNDERSTOOD {
                break;
            }
        }
        let name = best.map(|(_, name)| name).unwrap_or_default();
        let way = BridgeWay::Name { name: name.clone() };
        let timing = Timing {
            image: picture.take_encoding_time(),
            generate: start.elapsed(),
            ..Timing::default()
        };
        self.device_checked(Ok(Answer {
            raw: name.clone(),
            text: name,
            bridges: vec![first(ReferenceKind::Box, way)],
            timing,
            ..Answer::default()
        }))
    }

    /// Words for another picture or a sound.
    async fn describe_other(
        &self,
        picture: &Picture<B>,
        reference: &Reference,
        cancel: &Cancel,
    ) -> Result<Answer> {
        let start = Instant::now();
        let prompt = Prompt::new([reference.clone()]);
        let (words, bridges) = self.in_words(picture, &prompt, cancel).await?;
        let text = match words.references.into_iter().next() {
            Some(Reference::Text(text)) => text,
            _ => String::new(),
        };
        self.device_checked(Ok(Answer {
            raw: text.clone(),
            text,
            bridges,
            timing: Timing {
                image: picture.take_encoding_time(),
                generate: start.elapsed(),
                ..Timing::default()
            },
            ..Answer::default()
        }))
    }

    /// Finds the mask of an object similar to another picture: the most similar one of the masks
    /// for its name.
    async fn lookalike(
        &self,
        picture: &Picture<B>,
        shown: &ReferenceImage,
        cancel: &Cancel,
    ) -> Result<Answer> {
        let start = Instant::now();
        let shown = squared(shown.image());
        let kind = ReferenceKind::Image;
        let name = self.name(&shown, kind, SHORT, cancel).await?;
        let naming = start.elapsed();
        let mut answers = self
            .ask_phrases(picture, std::slice::from_ref(&name), cancel)
            .await?;
        let mut answer = answers.remove(0);
        answer.timing.prompt += naming;

        let start = Instant::now();
        let masks = with_pieces(&answer.masks)?;
        let image = self.image(picture)?;
        let similarities = self.similarities(&shown, image, &masks).await?;
        let candidates = masks.len();
        let mut ranked: Vec<(Mask, f32)> = masks.into_iter().zip(similarities).collect();
        ranked.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        if !self.bridge.keep_all {
            ranked.truncate(1);
        }
        let (masks, similarities) = ranked.into_iter().unzip();
        answer.masks = masks;
        let way = BridgeWay::Lookalike {
            name,
            similarities,
            candidates,
        };
        answer.bridges = vec![first(kind, way)];
        answer.timing.decode += start.elapsed();
        self.device_checked(Ok(answer))
    }

    /// Predicts the masks of objects that may make a sound, highest estimates first.
    async fn sounding(
        &self,
        picture: &Picture<B>,
        sound: &Waveform,
        cancel: &Cancel,
    ) -> Result<Answer> {
        let start = Instant::now();
        let ranking = self.sound_labels(sound).await?;
        let audio = start.elapsed();
        let likely = ranking.above(self.bridge.sound_threshold);
        let likely = if likely.is_empty() {
            ranking.top(1)
        } else {
            likely
        };
        let asked: Vec<String> = likely.iter().map(|label| label.label.clone()).collect();
        let mut all = Answer {
            bridges: vec![first(ReferenceKind::Audio, labels(&ranking, &asked))],
            ..Answer::default()
        };
        all.timing.audio = audio;
        let mut texts = Vec::new();
        let mut raws = Vec::new();
        let phrases: Vec<String> = asked.iter().map(|label| label.to_lowercase()).collect();
        for answer in self.ask_phrases(picture, &phrases, cancel).await? {
            texts.push(answer.text);
            raws.push(answer.raw);
            all.masks.extend(answer.masks);
            all.doubtful += answer.doubtful;
            all.timing += answer.timing;
        }
        (all.text, all.raw) = (texts.join(" "), raws.join(" "));
        all.masks
            .sort_by(|one, other| other.score.total_cmp(&one.score));
        self.device_checked(Ok(all))
    }
}

/// Record of the only reference.
fn first(kind: ReferenceKind, way: BridgeWay) -> Bridge {
    Bridge {
        reference: 1,
        kind,
        way,
    }
}
