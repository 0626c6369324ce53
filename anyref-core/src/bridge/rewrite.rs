//! Prompts whose references are put into words.

use anyref_vision::preprocess::squared;
use burn::tensor::backend::Backend;
use image::RgbImage;

use super::naming::SHORT;
use super::record::{Bridge, BridgeLabel, BridgeWay};
use crate::conversation::Goal;
use crate::observer::Cancel;
use crate::picture::Picture;
use crate::{
    AnyRef, Error, Prompt, Reference, ReferenceImage, ReferenceKind, Result, SoundRanking,
};

/// Labels of a sound that are told of.
const LABELS_TOLD: usize = 5;

impl<B: Backend> AnyRef<B> {
    /// Returns whether a prompt has references that the model was not trained with, or asks for the
    /// mask of a box, which the model was trained to describe only.
    pub(crate) fn bridges(&self, prompt: &Prompt, goal: Goal) -> bool {
        let prompts = &self.config.prompts;
        let boxed = goal == Goal::Segment
            && prompt.question.is_none()
            && matches!(&prompt.references[..], [reference] if reference.region().is_some());
        let mut kinds = prompt.references.iter().map(Reference::kind);
        kinds.any(|kind| !prompts.reads(kind)) || boxed && !prompts.segments(ReferenceKind::Box)
    }

    /// The prompt with words in the place of each reference that the model was not trained with.
    ///
    /// # Errors
    /// When a reference cannot be put into words, or the device fails.
    pub(crate) async fn in_words(
        &self,
        picture: &Picture<B>,
        prompt: &Prompt,
        cancel: &Cancel,
    ) -> Result<(Prompt, Vec<Bridge>)> {
        let mut prompt = prompt.clone();
        let mut bridges = Vec::new();
        for (index, reference) in prompt.references.iter_mut().enumerate() {
            let kind = reference.kind();
            if self.config.prompts.reads(kind) {
                continue;
            }
            let (words, way) = match reference {
                Reference::Text(_) => continue,
                Reference::Box(_) | Reference::Mask(_) => {
                    let region = reference.region().ok_or(Error::EmptyRegion)?;
                    let crop = self.crop(picture, region)?;
                    named(self.name(&crop, kind, SHORT, cancel).await?)
                }
                Reference::Image(shown) => {
                    let shown = squared(shown.image());
                    named(self.name(&shown, kind, SHORT, cancel).await?)
                }
                Reference::Audio(sound) => {
                    let ranking = self.sound_labels(sound).await?;
                    let label = ranking.best().label.clone();
                    let way = labels(&ranking, std::slice::from_ref(&label));
                    (label, way)
                }
            };
            bridges.push(Bridge {
                reference: index + 1,
                kind,
                way,
            });
            *reference = Reference::Text(words);
        }
        Ok((prompt, bridges))
    }

    /// The part of a picture inside a box, in a square.
    pub(super) fn crop(&self, picture: &Picture<B>, region: [f32; 4]) -> Result<RgbImage> {
        let cropped = ReferenceImage::cropped(self.image(picture)?, region)?;
        Ok(squared(cropped.image()))
    }

    /// The picture's own pixels.
    pub(super) fn image<'a>(&self, picture: &'a Picture<B>) -> Result<&'a RgbImage> {
        picture.image.as_deref().ok_or_else(|| Error::NotBridged {
            kind: ReferenceKind::Box,
            remedy: "the picture's pixels were not kept; encode it again".into(),
        })
    }

    /// Labels for a sound.
    pub(super) async fn sound_labels(
        &self,
        sound: &anyref_audio::Waveform,
    ) -> Result<SoundRanking> {
        let labeller = self.sounds.as_ref().ok_or_else(|| Error::NotBridged {
            kind: ReferenceKind::Audio,
            remedy: "give ImageBind's file by --imagebind, which puts sounds into words".into(),
        })?;
        labeller.label_async(sound).await
    }
}

/// Words of the language model for a reference, and the record of them.
fn named(name: String) -> (String, BridgeWay) {
    (name.clone(), BridgeWay::Name { name })
}

/// Record of a sound's labels, of which some are asked for.
pub(super) fn labels(ranking: &SoundRanking, asked: &[String]) -> BridgeWay {
    let told = ranking.top(LABELS_TOLD.max(asked.len())).iter();
    BridgeWay::Labels {
        labels: told
            .map(|label| BridgeLabel {
                label: label.label.clone(),
                probability: label.probability,
            })
            .collect(),
        asked: asked.to_vec(),
    }
}
