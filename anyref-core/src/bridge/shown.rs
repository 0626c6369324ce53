//! Cuttings of pictures that are shown to CLIP by themselves.

use image::{Rgb, RgbImage, imageops};

/// CLIP's mean color, which LLaVA fills up with (`expand2square`).
const FILL: Rgb<u8> = Rgb([122, 116, 104]);

/// The picture in the middle of a square, so that a model that crops to the middle sees all of it.
pub(super) fn squared(image: &RgbImage) -> RgbImage {
    let (width, height) = image.dimensions();
    if width == height {
        return image.clone();
    }
    let side = width.max(height);
    let mut square = RgbImage::from_pixel(side, side, FILL);
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    imageops::replace(&mut square, image, left.into(), top.into());
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_picture_is_lost() {
        let image = RgbImage::from_pixel(5, 2, Rgb([9, 8, 7]));
        let square = squared(&image);
        assert_eq!(square.dimensions(), (5, 5));
        assert_eq!(square.get_pixel(0, 0), &FILL);
        assert_eq!(square.get_pixel(4, 1), &Rgb([9, 8, 7]));
        assert_eq!(square.pixels().filter(|pixel| **pixel != FILL).count(), 10);
        assert_eq!(squared(&square), square);
    }
}
