//! A question about a picture and its answer, whatever data set they are of.

use anyref_audio::AudioFeatures;
use anyref_core::{Question, Reference};
use anyref_vision::preprocess::PixelValues;
use image::RgbImage;

use super::context::StageContext;
use crate::stage_error::StageError;
use anyref_data::scenes::{Kind, Mask};

/// A picture and the questions about it.
#[derive(Debug)]
pub struct Asked {
    /// The picture.
    pub image: RgbImage,
    /// The questions.
    pub examples: Vec<Example>,
}

/// A question and its answer.
#[derive(Debug)]
pub struct Example {
    /// Kind of reference that the question has.
    pub kind: Kind,
    /// The question, with empty markers where features go.
    pub question: Question,
    /// The references, in the order of their numbers.
    pub references: Vec<ExampleReference>,
    /// The answer, with one `<obj>` a target.
    pub answer: String,
    /// Whether the answer's name is learned: its words before the last `<obj>`, or before it says
    /// that the thing is not there.
    pub name_learned: bool,
    /// Targets of the answer's `<obj>`, in order.
    pub targets: Vec<ExampleTarget>,
    /// The words for what the answer says is not there, where it begins with them.
    pub absent: Option<String>,
    /// Index of the name of what the only reference shows, where it has one.
    pub reference_name: Option<usize>,
}

/// A reference as an encoder takes it.
#[derive(Debug, Clone)]
pub enum ExampleReference {
    /// Words, which stand in the question.
    Text,
    /// `[x0, y0, x1, y1]` in pixels of the picture.
    Box([f32; 4]),
    /// CLIP's input.
    Image(PixelValues),
    /// ImageBind's input.
    Audio(AudioFeatures),
}

impl ExampleReference {
    /// Prepares a reference.
    ///
    /// # Errors
    /// When a sound is too short or too quiet, or the model does not hear.
    pub(super) fn new(context: &StageContext, reference: &Reference) -> Result<Self, StageError> {
        Ok(match reference {
            Reference::Text(_) => Self::Text,
            Reference::Box(region) => Self::Box(*region),
            Reference::Image(image) => Self::Image(context.clip().process(image.image())),
            Reference::Audio(sound) => {
                let hearing = context.sound().ok_or(StageError::CannotHear)?;
                Self::Audio(hearing.process(sound)?)
            }
        })
    }
}

/// Target of one `<obj>`.
#[derive(Debug, Clone)]
pub struct ExampleTarget {
    /// Its mask, in the picture's size.
    pub mask: Mask,
    /// Index of its name, where it has one.
    pub name: Option<usize>,
    /// Whether it is everything of its name.
    pub all_of_name: bool,
}

impl Asked {
    /// Puts questions about the same picture together, the pictures in the order of their first
    /// questions.
    pub fn merge(all: Vec<Self>) -> Vec<Self> {
        let mut merged: Vec<Self> = Vec::with_capacity(all.len());
        for asked in all {
            match merged.iter_mut().find(|known| known.image == asked.image) {
                Some(known) => known.examples.extend(asked.examples),
                None => merged.push(asked),
            }
        }
        merged
    }

    /// Refuses pictures without a question, and masks of another size.
    ///
    /// # Errors
    /// When there is no question, or a mask is of another size.
    pub(super) fn check(&self) -> Result<(), StageError> {
        if self.examples.is_empty() {
            return Err(StageError::NoQuestion);
        }
        let picture = [self.image.width() as usize, self.image.height() as usize];
        let targets = self.examples.iter().flat_map(|example| &example.targets);
        for ExampleTarget { mask, .. } in targets {
            let mask = [mask.width(), mask.height()];
            if mask != picture {
                return Err(StageError::MaskSize { mask, picture });
            }
        }
        Ok(())
    }
}
