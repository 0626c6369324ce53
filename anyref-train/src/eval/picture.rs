//! Cases as pictures: the true mask's outline in green, the predicted one's in red.

use anyref_decoder::rle::Rle;
use image::{Rgb, RgbImage, imageops};

use super::case::Case;
use crate::data::{Mask, Scene};

const TRUE: Rgb<u8> = Rgb([40, 220, 60]);
const BOTH: Rgb<u8> = Rgb([250, 220, 40]);
const PREDICTED: Rgb<u8> = Rgb([240, 40, 40]);

/// The scene with the true and the predicted outline.
pub fn case_picture(scene: &Scene, truth: &Mask, case: &Case) -> RgbImage {
    let mut picture = scene.image.clone();
    let [height, width] = case.size;
    outline(&mut picture, width, height, |x, y| truth.get(x, y), TRUE);
    if let Ok(rle) = Rle::from_compressed(&case.counts, case.size) {
        let mask = rle.to_mask();
        outline(
            &mut picture,
            width,
            height,
            |x, y| mask[y * width + x],
            PREDICTED,
        );
    }
    picture
}

/// A picture with the pixels of the true mask tinted green, of the predicted one red, and of both yellow.
pub(super) fn tinted(mut picture: RgbImage, truth: &Rle, predicted: &Rle) -> RgbImage {
    let [_, width] = truth.size();
    let (truth, predicted) = (truth.to_mask(), predicted.to_mask());
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let at = y as usize * width + x as usize;
        let colour = match (truth.get(at), predicted.get(at)) {
            (Some(true), Some(true)) => BOTH,
            (Some(true), _) => TRUE,
            (_, Some(true)) => PREDICTED,
            _ => continue,
        };
        for (value, tint) in pixel.0.iter_mut().zip(colour.0) {
            *value = ((u16::from(*value) + u16::from(tint)) / 2) as u8;
        }
    }
    picture
}

/// Colours the pixels of a mask that touch its outside.
fn outline(
    picture: &mut RgbImage,
    width: usize,
    height: usize,
    inside: impl Fn(usize, usize) -> bool,
    colour: Rgb<u8>,
) {
    for y in 0..height {
        for x in 0..width {
            let edge = x == 0
                || y == 0
                || x + 1 == width
                || y + 1 == height
                || !inside(x - 1, y)
                || !inside(x + 1, y)
                || !inside(x, y - 1)
                || !inside(x, y + 1);
            if inside(x, y) && edge {
                picture.put_pixel(x as u32, y as u32, colour);
            }
        }
    }
}

/// Pictures side by side, `columns` a row.
pub fn contact_sheet(pictures: &[RgbImage], columns: u32) -> RgbImage {
    const GAP: u32 = 4;
    let width = pictures.iter().map(RgbImage::width).max().unwrap_or(1) + GAP;
    let height = pictures.iter().map(RgbImage::height).max().unwrap_or(1) + GAP;
    let rows = (pictures.len() as u32).div_ceil(columns).max(1);
    let mut sheet = RgbImage::from_pixel(columns * width, rows * height, Rgb([255; 3]));
    for (index, picture) in (0_u32..).zip(pictures) {
        let (x, y) = (index % columns * width, index / columns * height);
        imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
    }
    sheet
}
