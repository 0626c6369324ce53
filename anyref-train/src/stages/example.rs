//! Questions about a picture and their answers, independent of the data set.

use anyref_audio::AudioFeatures;
use anyref_core::{Question, Reference, RegionForm};
use anyref_decoder::rle::Rle;
use anyref_vision::preprocess::PixelValues;
use image::RgbImage;

use super::context::StageContext;
use crate::stage_error::StageError;
use anyref_data::scenes::{Kind, Mask};

/// Picture and the questions about it.
#[derive(Debug)]
pub struct Asked {
    /// Picture asked about.
    pub image: RgbImage,
    /// Questions about the picture.
    pub examples: Vec<Example>,
}

/// Question and its answer.
#[derive(Debug)]
pub struct Example {
    /// Kind of reference.
    pub kind: Kind,
    /// Question, with empty markers in place of features.
    pub question: Question,
    /// References in the order of their numbers.
    pub references: Vec<ExampleReference>,
    /// Answer, with one `<obj>` a target.
    pub answer: String,
    /// Whether the answer's name has a loss: its words before the last `<obj>`, or before the
    /// statement that the object is absent.
    pub name_learned: bool,
    /// Targets of the answer's `<obj>` in order.
    pub targets: Vec<ExampleTarget>,
    /// Words for the object that the answer says is absent, if it begins with them.
    pub absent: Option<String>,
    /// Index of the name of the object in the only reference, if it has one.
    pub reference_name: Option<usize>,
}

/// Reference in the form of its encoder's input.
#[derive(Debug, Clone)]
pub enum ExampleReference {
    /// Words in the question.
    Text,
    /// Box `[x0, y0, x1, y1]` in pixels of the picture.
    Box([f32; 4]),
    /// Mask of the picture's size, of models that read its shape.
    Mask(Rle),
    /// Input of CLIP.
    Image(PixelValues),
    /// Input of ImageBind.
    Audio(AudioFeatures),
}

impl ExampleReference {
    /// Prepares a reference.
    ///
    /// # Errors
    /// When a sound is too short or too quiet, or the model reads no such references or has no
    /// audio encoder.
    pub(super) fn new(context: &StageContext, reference: &Reference) -> Result<Self, StageError> {
        let kind = reference.kind();
        if !context.model.prompts.reads(kind) {
            return Err(StageError::Unread { kind });
        }
        Ok(match reference {
            Reference::Text(_) => Self::Text,
            Reference::Box(region) => Self::Box(*region),
            Reference::Mask(mask) => match reference.region() {
                Some(_) if context.model.prompts.regions == RegionForm::VisualPrompt => {
                    Self::Mask(mask.clone())
                }
                Some(region) => Self::Box(region),
                None => return Err(anyref_core::Error::EmptyRegion.into()),
            },
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
    /// Mask in the picture's size.
    pub mask: Mask,
    /// Index of the object's name, if it has one.
    pub name: Option<usize>,
    /// Whether the target is every object of its name.
    pub all_of_name: bool,
}

impl Asked {
    /// Groups questions about the same picture, the pictures in the order of their first questions.
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
    /// When there is no question, or a mask has another size.
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
