//! Four kinds of references to an object.

use anyref_audio::Waveform;
use anyref_decoder::rle::Rle;
use image::{GrayImage, RgbImage};

use crate::reference_kind::ReferenceKind;
use crate::{Error, Result};

/// Reference to an object.
#[derive(Debug, Clone)]
pub enum Reference {
    /// Phrase, such as "the tiger on the left".
    Text(String),
    /// Box `[x0, y0, x1, y1]` in pixels of the picture in question.
    Box([f32; 4]),
    /// Region of the picture in question by its mask, which models that read regions as tokens of
    /// the picture take in its own shape, and others as the box around it.
    Mask(Rle),
    /// Another picture of the object.
    Image(ReferenceImage),
    /// Sound that the object makes.
    Audio(Waveform),
}

impl Reference {
    /// Kind of the reference.
    pub fn kind(&self) -> ReferenceKind {
        match self {
            Self::Text(_) => ReferenceKind::Text,
            Self::Box(_) | Self::Mask(_) => ReferenceKind::Box,
            Self::Image(_) => ReferenceKind::Image,
            Self::Audio(_) => ReferenceKind::Audio,
        }
    }

    /// Region of the picture in question by a mask, white on black.
    ///
    /// # Errors
    /// When the mask is black all over.
    pub fn of_mask(mask: &GrayImage) -> Result<Self> {
        let pixels: Vec<bool> = mask.pixels().map(|pixel| pixel[0] >= 128).collect();
        let size = [mask.height() as usize, mask.width() as usize];
        let mask = Rle::from_mask(&pixels, size)?;
        match mask.area() {
            0 => Err(Error::EmptyRegion),
            _ => Ok(Self::Mask(mask)),
        }
    }

    /// Box of a region of the picture in question: itself, or the one around its mask.
    pub fn region(&self) -> Option<[f32; 4]> {
        match self {
            Self::Box(region) => Some(*region),
            Self::Mask(mask) => {
                let [x, y, width, height] = mask.bbox().map(|side| side as f32);
                Some([x, y, x + width, y + height])
            }
            Self::Text(_) | Self::Image(_) | Self::Audio(_) => None,
        }
    }

    /// Checks that the reference is valid in a picture of `width` and `height` pixels. Silence of a
    /// sound is detected only when it is asked about.
    ///
    /// # Errors
    /// When a box does not fit the picture, or a mask is empty or of another size.
    pub fn fits(&self, (width, height): (u32, u32)) -> Result<()> {
        match self {
            Self::Box(region) => check_box(*region, width, height).map(|_| ()),
            Self::Mask(mask) => check_mask(mask, (width, height)),
            Self::Text(_) | Self::Image(_) | Self::Audio(_) => Ok(()),
        }
    }
}

/// Refuses a region's mask that is empty or not of the size of its picture.
pub(crate) fn check_mask(mask: &Rle, image: (u32, u32)) -> Result<()> {
    let [height, width] = mask.size().map(|side| side as u32);
    if (width, height) != image {
        return Err(Error::MaskSize {
            mask: (width, height),
            image,
        });
    }
    match mask.area() {
        0 => Err(Error::EmptyRegion),
        _ => Ok(()),
    }
}

/// Reference picture, possibly restricted to a box or a mask.
#[derive(Debug, Clone)]
pub struct ReferenceImage {
    image: RgbImage,
}

impl ReferenceImage {
    /// Reference to the whole picture.
    pub fn new(image: RgbImage) -> Self {
        Self { image }
    }

    /// Crops `image` to `region` = `[x0, y0, x1, y1]`, in pixels.
    ///
    /// # Errors
    /// When the box does not fit the picture.
    pub fn cropped(image: &RgbImage, region: [f32; 4]) -> Result<Self> {
        let [x0, y0, x1, y1] = check_box(region, image.width(), image.height())?;
        let (left, top) = (x0.floor() as u32, y0.floor() as u32);
        let width = (x1.ceil() as u32)
            .min(image.width())
            .saturating_sub(left)
            .max(1);
        let height = (y1.ceil() as u32)
            .min(image.height())
            .saturating_sub(top)
            .max(1);
        Ok(Self {
            image: image::imageops::crop_imm(image, left, top, width, height).to_image(),
        })
    }

    /// Crops `image` to the box around `mask` (white = object) and blacks out the background: the
    /// paper's mask cropping.
    ///
    /// # Errors
    /// When the mask is empty or of another size.
    pub fn masked(image: &RgbImage, mask: &GrayImage) -> Result<Self> {
        if image.dimensions() != mask.dimensions() {
            return Err(Error::MaskSize {
                mask: mask.dimensions(),
                image: image.dimensions(),
            });
        }
        let mut black = image.clone();
        let mut region = [f32::MAX, f32::MAX, 0.0, 0.0];
        for (x, y, pixel) in black.enumerate_pixels_mut() {
            if mask.get_pixel(x, y)[0] < 128 {
                pixel.0 = [0; 3];
            } else {
                region[0] = region[0].min(x as f32);
                region[1] = region[1].min(y as f32);
                region[2] = region[2].max(x as f32 + 1.0);
                region[3] = region[3].max(y as f32 + 1.0);
            }
        }
        Self::cropped(&black, region)
    }

    /// Pixels that the encoder sees.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }
}

/// Returns the box if it lies inside a picture of this size, is finite and not empty.
pub(crate) fn check_box(region: [f32; 4], width: u32, height: u32) -> Result<[f32; 4]> {
    let [x0, y0, x1, y1] = region;
    let fits = region.iter().all(|v| v.is_finite())
        && x0 >= 0.0
        && y0 >= 0.0
        && x1 <= width as f32
        && y1 <= height as f32
        && x0 < x1
        && y0 < y1;
    if fits {
        Ok(region)
    } else {
        Err(Error::Box {
            x0,
            y0,
            x1,
            y1,
            width,
            height,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    #[test]
    fn a_box_must_lie_inside_its_picture() {
        for bad in [
            [-1.0, 0.0, 5.0, 5.0],
            [0.0, 0.0, 11.0, 5.0],
            [5.0, 0.0, 5.0, 5.0],
            [6.0, 0.0, 5.0, 5.0],
            [f32::NAN, 0.0, 5.0, 5.0],
        ] {
            assert!(check_box(bad, 10, 10).is_err(), "{bad:?}");
        }
        assert!(check_box([0.0, 0.0, 10.0, 10.0], 10, 10).is_ok());
    }

    #[test]
    fn masking_blacks_out_and_crops() {
        let image = RgbImage::from_pixel(8, 6, Rgb([200, 100, 50]));
        let mut mask = GrayImage::new(8, 6);
        mask.put_pixel(2, 1, Luma([255]));
        mask.put_pixel(4, 3, Luma([255]));
        let reference = ReferenceImage::masked(&image, &mask).unwrap();
        assert_eq!(reference.image().dimensions(), (3, 3));
        assert_eq!(reference.image().get_pixel(0, 0), &Rgb([200, 100, 50]));
        assert_eq!(reference.image().get_pixel(1, 1), &Rgb([0, 0, 0]));
        assert!(ReferenceImage::masked(&image, &GrayImage::new(8, 6)).is_err());
        assert!(ReferenceImage::masked(&image, &GrayImage::new(7, 6)).is_err());
    }
}
