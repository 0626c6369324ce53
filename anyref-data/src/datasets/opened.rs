//! Pictures and references of items, read from their files for a model.

use std::path::Path;

use anyref_audio::Waveform;
use anyref_core::{Reference, ReferenceImage};
use anyref_vision::preprocess::open_image;
use image::{GrayImage, RgbImage};

use super::error::{Error, Result};
use super::item::{self, Item};

impl Item {
    /// Opens the picture.
    ///
    /// # Errors
    /// When it cannot be read, or has another size than the annotations state.
    pub fn open_picture(&self) -> Result<RgbImage> {
        let picture = open_image(&self.image).map_err(anyref_core::Error::from)?;
        let found = [picture.width(), picture.height()];
        match found == self.size {
            true => Ok(picture),
            false => Err(Error::PictureSize {
                path: self.image.clone(),
                found,
                annotated: self.size,
            }),
        }
    }

    /// Opens a reference of this item.
    ///
    /// # Errors
    /// When one of its files cannot be read, its mask cannot be rasterised, or its region does not
    /// fit its picture.
    pub fn open_reference(&self, reference: &item::Reference) -> Result<Reference> {
        Ok(match reference {
            item::Reference::Text(text) => Reference::Text(text.clone()),
            item::Reference::Box(area) => Reference::Box(inside(*area, self.size)),
            item::Reference::Audio(path) => Reference::Audio(open_sound(path)?),
            item::Reference::Image { path, size, region } => {
                let image = open_image(path).map_err(anyref_core::Error::from)?;
                let size = size.unwrap_or([image.width(), image.height()]);
                Reference::Image(match region {
                    None => ReferenceImage::new(image),
                    Some(region) => match &region.mask {
                        None => ReferenceImage::cropped(&image, inside(region.area, size))?,
                        Some(shape) => {
                            let [width, height] = size;
                            let bytes = shape.rasterise(size)?.to_bytes();
                            let mask = GrayImage::from_raw(width, height, bytes)
                                .ok_or_else(|| Error::mask("a mask has not a byte a pixel"))?;
                            ReferenceImage::masked(&image, &mask)?
                        }
                    },
                })
            }
        })
    }
}

fn open_sound(path: &Path) -> Result<Waveform> {
    Ok(Waveform::open(path).map_err(anyref_core::Error::from)?)
}

/// Clips a box to its picture: annotated boxes may exceed the edge by rounding.
fn inside(area: [f64; 4], [width, height]: [u32; 2]) -> [f32; 4] {
    let [x0, y0, x1, y1] = area.map(|value| value as f32);
    let (width, height) = (width as f32, height as f32);
    [x0.max(0.0), y0.max(0.0), x1.min(width), y1.min(height)]
}
