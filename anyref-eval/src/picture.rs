//! Pictures of cases: true pixels in green, predicted ones in red, boxes in blue.

use anyref_decoder::rle::Rle;
use image::{Rgb, RgbImage, imageops};

const TRUE: Rgb<u8> = Rgb([40, 220, 60]);
const BOTH: Rgb<u8> = Rgb([250, 220, 40]);
const PREDICTED: Rgb<u8> = Rgb([240, 40, 40]);
const BOX: Rgb<u8> = Rgb([40, 110, 250]);

/// Tints the pixels of the true mask green, of the predicted one red, and of both yellow.
pub(super) fn tinted(
    mut picture: RgbImage,
    truth: Option<&Rle>,
    predicted: Option<&Rle>,
) -> RgbImage {
    let width = picture.width() as usize;
    let [truth, predicted] = [truth, predicted].map(|mask| mask.map_or(Vec::new(), Rle::to_mask));
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

/// Draws the edges of boxes `[x0, y0, x1, y1]`, the far edges exclusive, two pixels wide.
pub(super) fn boxed(mut picture: RgbImage, boxes: &[[f64; 4]]) -> RgbImage {
    for &[x0, y0, x1, y1] in boxes {
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let (x, y) = (f64::from(x), f64::from(y));
            let within = |margin: f64| {
                (x0 + margin..x1 - margin).contains(&x) && (y0 + margin..y1 - margin).contains(&y)
            };
            if within(0.0) && !within(2.0) {
                *pixel = BOX;
            }
        }
    }
    picture
}

/// Arranges pictures in a grid of `columns`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_boxes_are_drawn_where_they_are() {
        let at = |pixels: &[usize]| {
            let mask: Vec<bool> = (0..24).map(|pixel| pixels.contains(&pixel)).collect();
            Rle::from_mask(&mask, [4, 6]).unwrap()
        };
        let (truth, predicted) = (at(&[0, 7]), at(&[7, 23]));
        let picture = tinted(RgbImage::new(6, 4), Some(&truth), Some(&predicted));
        let colour = |x, y| picture.get_pixel(x, y).0;
        assert_eq!(colour(0, 0), TRUE.0.map(|value| value / 2));
        assert_eq!(colour(1, 1), BOTH.0.map(|value| value / 2));
        assert_eq!(colour(5, 3), PREDICTED.0.map(|value| value / 2));
        assert_eq!(colour(2, 2), [0; 3]);
        let picture = boxed(RgbImage::new(20, 20), &[[3.0, 4.0, 15.0, 18.0]]);
        let drawn = |x, y| picture.get_pixel(x, y) == &BOX;
        assert!(drawn(3, 4) && drawn(14, 17) && drawn(4, 10));
        assert!(!drawn(2, 4) && !drawn(15, 10) && !drawn(8, 10) && !drawn(8, 18));
    }
}
