//! Work on a picture ahead of the model, on any thread.

use std::sync::Arc;

use anyref_vision::preprocess::{ClipPreprocessor, PixelValues, SamPixels, SamPreprocessor};
use image::RgbImage;

use crate::reference_kind::ReferenceKind;
use crate::{AnyRefConfig, Error, Result};

/// A picture as the encoders take it.
#[derive(Debug, Clone, PartialEq)]
pub struct PicturePixels {
    /// For CLIP.
    pub(crate) clip: PixelValues,
    /// For SAM, of a model that makes masks.
    pub(crate) sam: Option<SamPixels>,
    /// Height and width of the picture.
    pub(crate) original_size: [usize; 2],
    /// The picture itself, for models whose references are cut out of it.
    pub(crate) image: Option<Arc<RgbImage>>,
}

/// Makes [`PicturePixels`] of pictures. It needs neither weights nor a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PicturePreprocessor {
    clip: ClipPreprocessor,
    sam: Option<SamPreprocessor>,
    keeps_image: bool,
}

impl PicturePreprocessor {
    /// Of a model.
    pub fn new(config: &AnyRefConfig) -> Self {
        Self {
            clip: ClipPreprocessor::new(config.vision_tower.image_size)
                .with_resize(config.clip_resize),
            sam: config
                .image_encoder
                .as_ref()
                .map(|sam| SamPreprocessor::new(sam.image_size)),
            keeps_image: [ReferenceKind::Box, ReferenceKind::Image]
                .iter()
                .any(|kind| !config.prompts.reads(*kind)),
        }
    }

    /// Resizes and normalises a picture for the model's encoders.
    ///
    /// # Errors
    /// When the picture has no pixels.
    pub fn process(&self, image: &RgbImage) -> Result<PicturePixels> {
        Ok(PicturePixels {
            clip: self.clip(image)?,
            sam: self.sam.map(|sam| sam.process(image)),
            original_size: [image.height() as usize, image.width() as usize],
            image: self.keeps_image.then(|| Arc::new(image.clone())),
        })
    }

    /// For CLIP alone, as reference pictures are.
    pub(crate) fn clip(&self, image: &RgbImage) -> Result<PixelValues> {
        match image.width() == 0 || image.height() == 0 {
            true => Err(Error::EmptyPicture),
            false => Ok(self.clip.process(image)),
        }
    }
}
