//! Work on a picture ahead of the model, on any thread.

use std::sync::Arc;

use anyref_vision::preprocess::{
    ClipPreprocessor, Filter, PixelValues, Sam2Preprocessor, SamPixels, SamPreprocessor,
    TilePreprocessor,
};
use image::RgbImage;

use crate::reference_kind::ReferenceKind;
use crate::sam::MaskImageEncoderConfig;
use crate::tower::TowerConfig;
use crate::{AnyRefConfig, Error, Result};

/// Picture as the encoders take it.
#[derive(Debug, Clone, PartialEq)]
pub struct PicturePixels {
    /// For the language model's tower: one square, or tiles.
    pub(crate) squares: Vec<PixelValues>,
    /// For SAM, of a model that makes masks.
    pub(crate) sam: Option<SamPixels>,
    /// Height and width of the picture.
    pub(crate) original_size: [usize; 2],
    /// The picture itself, for models whose references are cut out of it.
    pub(crate) image: Option<Arc<RgbImage>>,
}

impl PicturePixels {
    /// Inputs of the language model's tower and, of a model that makes masks, of SAM.
    pub fn into_inputs(self) -> (Vec<PixelValues>, Option<SamPixels>) {
        (self.squares, self.sam)
    }
}

/// Makes [`PicturePixels`] of pictures. It needs neither weights nor a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PicturePreprocessor {
    squares: Squares,
    masks: Option<Masks>,
    keeps_image: bool,
}

/// Pre-processing for the language model's tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Squares {
    One(ClipPreprocessor),
    Tiles(TilePreprocessor),
}

/// Pre-processing for SAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Masks {
    Sam(SamPreprocessor),
    Sam2(Sam2Preprocessor),
}

impl PicturePreprocessor {
    /// Creates the preprocessor of a model.
    ///
    /// # Panics
    /// When [`AnyRefConfig::validate`] fails.
    pub fn new(config: &AnyRefConfig) -> Self {
        let reads = |kind| config.prompts.reads(kind);
        Self {
            squares: match &config.vision_tower {
                TowerConfig::Clip(clip) => Squares::One(
                    ClipPreprocessor::new(clip.image_size).with_resize(config.clip_resize),
                ),
                TowerConfig::InternVit(tower) => {
                    Squares::Tiles(tower.preprocessor().expect("a number of tiles that can be"))
                }
            },
            masks: config.image_encoder.as_ref().map(|encoder| match encoder {
                MaskImageEncoderConfig::Sam(sam) => {
                    Masks::Sam(SamPreprocessor::new(sam.image_size))
                }
                MaskImageEncoderConfig::Sam2(sam) => {
                    let squeezed = Sam2Preprocessor::new(sam.image_size);
                    Masks::Sam2(squeezed.with_filter(Filter::Bicubic))
                }
            }),
            keeps_image: !(reads(ReferenceKind::Box) && reads(ReferenceKind::Image)),
        }
    }

    /// Resizes and normalises a picture for the model's encoders.
    ///
    /// # Errors
    /// When the picture has no pixels.
    pub fn process(&self, image: &RgbImage) -> Result<PicturePixels> {
        Ok(PicturePixels {
            squares: self.squares(image)?,
            sam: self.masks.map(|masks| match masks {
                Masks::Sam(sam) => sam.process(image),
                Masks::Sam2(sam) => sam.process(image),
            }),
            original_size: [image.height() as usize, image.width() as usize],
            image: self.keeps_image.then(|| Arc::new(image.clone())),
        })
    }

    /// For the language model's tower alone, as reference pictures are.
    pub(crate) fn squares(&self, image: &RgbImage) -> Result<Vec<PixelValues>> {
        if image.width() == 0 || image.height() == 0 {
            return Err(Error::EmptyPicture);
        }
        Ok(match &self.squares {
            Squares::One(clip) => vec![clip.process(image)],
            Squares::Tiles(tiles) => tiles.process(image),
        })
    }
}
