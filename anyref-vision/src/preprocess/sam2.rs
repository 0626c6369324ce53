//! Pre-processing of SAM 2's image encoder.

use image::RgbImage;

use super::pixels::{PixelValues, tables};
use super::resample::{Filter, resize};
use super::sam::SamPixels;

/// ImageNet's channel means.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// ImageNet's channel deviations.
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The whole square, whatever the picture's shape, antialiased on bytes; normalise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sam2Preprocessor {
    image_size: usize,
    filter: Filter,
}

impl Sam2Preprocessor {
    /// For an encoder of this picture side, by the bilinear filter of SAM 2's own predictor.
    pub fn new(image_size: usize) -> Self {
        Self {
            image_size,
            filter: Filter::Bilinear,
        }
    }

    /// Sets the filter, for models that were trained with another one.
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// # Panics
    /// When the picture has no pixels, or the encoder's side is 0.
    pub fn process(&self, image: &RgbImage) -> SamPixels {
        let side = self.image_size;
        let resized = resize(image, side as u32, side as u32, self.filter);
        let table = tables(|byte, channel| (byte / 255.0 - MEAN[channel]) / STD[channel]);
        let mut data = vec![0.0_f32; 3 * side * side];
        for (channel, (plane, table)) in data.chunks_exact_mut(side * side).zip(&table).enumerate()
        {
            for (value, pixel) in plane.iter_mut().zip(resized.as_raw().chunks_exact(3)) {
                *value = table[pixel[channel] as usize];
            }
        }
        SamPixels {
            pixels: PixelValues {
                data,
                shape: [3, side, side],
            },
            original_size: [image.height() as usize, image.width() as usize],
            resized_size: [side, side],
        }
    }
}
