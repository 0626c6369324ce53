//! Preprocessing for SAM 2's image encoder.

use image::RgbImage;

use super::imagenet::imagenet_pixels;
use super::resample::{Filter, resize};
use super::sam::SamPixels;

/// Preprocessor of SAM 2: resizes to the whole square regardless of the picture's shape
/// (antialiased, on bytes), and normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sam2Preprocessor {
    image_size: usize,
    filter: Filter,
}

impl Sam2Preprocessor {
    /// Creates a preprocessor for an encoder of this picture side, with the bilinear filter of SAM
    /// 2's own predictor.
    pub fn new(image_size: usize) -> Self {
        Self {
            image_size,
            filter: Filter::Bilinear,
        }
    }

    /// Sets the filter, for models trained with another one.
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Resizes a picture to the square, whatever its shape, and normalises it.
    ///
    /// # Panics
    /// When the picture has no pixels, or the encoder's side is 0.
    pub fn process(&self, image: &RgbImage) -> SamPixels {
        let side = self.image_size;
        let resized = resize(image, side as u32, side as u32, self.filter);
        SamPixels {
            pixels: imagenet_pixels(&resized),
            original_size: [image.height() as usize, image.width() as usize],
            resized_size: [side, side],
        }
    }
}
