//! Normalisation by ImageNet's means and deviations.

use image::RgbImage;

use super::pixels::{PixelValues, tables};

/// ImageNet's channel means.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// ImageNet's channel deviations.
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Normalised pixels of a picture in its own size.
pub(super) fn imagenet_pixels(image: &RgbImage) -> PixelValues {
    let tables = tables(|byte, channel| (byte / 255.0 - MEAN[channel]) / STD[channel]);
    let size = [image.height() as usize, image.width() as usize];
    PixelValues::normalised(image.as_raw(), size, &tables)
}
