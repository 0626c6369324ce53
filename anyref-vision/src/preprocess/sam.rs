//! Preprocessing for SAM's image encoder.

use image::{Rgb, RgbImage};

use super::pixels::{PixelValues, tables};
use super::resample::{Filter, resize};

/// SAM's channel means, in bytes.
const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
/// SAM's channel deviations, in bytes.
const STD: [f32; 3] = [58.395, 57.12, 57.375];

/// Preprocessor of SAM: resizes the longest side to the encoder's (antialiased bilinear, on bytes),
/// normalises, and pads with zeros at the right and bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamPreprocessor {
    image_size: usize,
}

/// Picture as the encoder's input, with the sizes needed to scale masks back.
#[derive(Debug, Clone, PartialEq)]
pub struct SamPixels {
    /// `[3, image_size, image_size]`
    pub pixels: PixelValues,
    /// Height and width of the picture.
    pub original_size: [usize; 2],
    /// Height and width after resizing, before padding.
    pub resized_size: [usize; 2],
}

impl SamPreprocessor {
    /// Creates a preprocessor for an encoder of this picture side.
    pub fn new(image_size: usize) -> Self {
        Self { image_size }
    }

    /// Height and width after resizing. A side is at least 1, however narrow the picture.
    pub fn resized_size(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let scale = self.image_size as f64 / height.max(width).max(1) as f64;
        [height, width].map(|side| ((side as f64 * scale + 0.5) as usize).max(1))
    }

    /// Recovers the resized picture from the pixel values of [`process`](Self::process); padding is
    /// black.
    ///
    /// # Panics
    /// When there are fewer pixel values than the encoder takes.
    pub fn picture(&self, pixels: &PixelValues) -> RgbImage {
        let side = self.image_size;
        RgbImage::from_fn(side as u32, side as u32, |x, y| {
            let at = y as usize * side + x as usize;
            Rgb([0, 1, 2].map(|channel: usize| {
                // Padding is 0 after normalisation, and black is negative.
                match pixels.data[channel * side * side + at] {
                    0.0 => 0,
                    value => (value * STD[channel] + MEAN[channel]).round() as u8,
                }
            }))
        })
    }

    /// Resizes a picture by its longer side, normalises it and pads it to a square.
    ///
    /// # Panics
    /// When the picture has no pixels, or the encoder's side is 0.
    pub fn process(&self, image: &RgbImage) -> SamPixels {
        let original_size = [image.height() as usize, image.width() as usize];
        let resized_size = self.resized_size(original_size);
        let [height, width] = resized_size;
        let resized = resize(image, width as u32, height as u32, Filter::Bilinear);
        let side = self.image_size;
        let table = tables(|byte, channel| (byte - MEAN[channel]) / STD[channel]);
        let mut data = vec![0.0f32; 3 * side * side];
        for (channel, (plane, table)) in data.chunks_exact_mut(side * side).zip(&table).enumerate()
        {
            let rows = plane
                .chunks_exact_mut(side)
                .zip(resized.as_raw().chunks_exact(width * 3));
            for (row, source) in rows {
                for (value, pixel) in row.iter_mut().zip(source.chunks_exact(3)) {
                    *value = table[pixel[channel] as usize];
                }
            }
        }
        SamPixels {
            pixels: PixelValues {
                data,
                shape: [3, side, side],
            },
            original_size,
            resized_size,
        }
    }
}
