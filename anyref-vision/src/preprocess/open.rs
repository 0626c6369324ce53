//! Opening of picture files.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::error::ImageError;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::jpeg;
use crate::{Error, Result};

/// Maximum side in pixels.
pub const MAX_SIDE: u32 = 65_500;
/// Maximum number of pixels, half a gigabyte once decoded.
pub const MAX_PIXELS: u64 = 178_956_970;
/// Memory limit of a decoder in bytes: 16-bit RGBA of the maximum pixels, and its own buffers.
const MAX_ALLOCATION: u64 = MAX_PIXELS * 8 * 3 / 2;
/// Background behind transparent pixels of pictures.
const WHITE: u8 = 255;
/// Background behind transparent pixels of masks.
const BLACK: u8 = 0;

/// Reads a picture file. See [`decode_image`].
///
/// # Errors
/// When the file cannot be read; also see [`decode_image`].
pub fn open_image(path: impl AsRef<Path>) -> Result<RgbImage> {
    open(path.as_ref(), WHITE)
}

/// Reads the file of a mask, bright where it masks: like [`open_image`], but as grey, and with
/// transparency over black, since unpainted areas are not masked.
///
/// # Errors
/// See [`open_image`].
pub fn open_mask(path: impl AsRef<Path>) -> Result<GrayImage> {
    let image = open(path.as_ref(), BLACK)?;
    Ok(DynamicImage::ImageRgb8(image).into_luma8())
}

/// Decodes a mask in the manner of [`open_mask`]; `name` appears in errors only.
///
/// # Errors
/// See [`decode_image`].
pub fn decode_mask(bytes: &[u8], name: &str) -> Result<GrayImage> {
    let image = decode(bytes, name, BLACK)?;
    Ok(DynamicImage::ImageRgb8(image).into_luma8())
}

/// Reads a picture file, with transparency over `ground`.
fn open(path: &Path, ground: u8) -> Result<RgbImage> {
    let name = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => decode(&bytes, &name, ground),
        Err(source) => Err(Error::Read { name, source }),
    }
}

/// Decodes a picture to 8-bit RGB as a viewer would show it: rotated by its EXIF data, 16-bit
/// samples rounded to 8, grey repeated over the channels, transparency over white, the first frame
/// of an animation. The format is detected from the content; `name` appears in errors only.
///
/// ```
/// use anyref_vision::preprocess::decode_image;
///
/// let picture = decode_image(b"P6 2 1 255 \xff\x00\x00\x00\xff\x00", "two.ppm")?;
/// assert_eq!(picture.dimensions(), (2, 1));
///
/// let error = decode_image(b"", "nothing.png").unwrap_err();
/// assert_eq!(error.to_string(), "picture nothing.png is empty (0 bytes); fetch or export it again");
/// # Ok::<(), anyref_vision::Error>(())
/// ```
///
/// # Errors
/// When `bytes` is empty, damaged, truncated or of an unsupported format, or when the picture has
/// no pixels, more than [`MAX_PIXELS`], a side above [`MAX_SIDE`], or takes too much memory to
/// decode.
pub fn decode_image(bytes: &[u8], name: &str) -> Result<RgbImage> {
    decode(bytes, name, WHITE)
}

/// Decodes a picture, with transparency over `ground`.
fn decode(bytes: &[u8], name: &str, ground: u8) -> Result<RgbImage> {
    if bytes.is_empty() {
        return Err(Error::Empty {
            name: name.to_owned(),
        });
    }
    let fail = |error| decoding_error(error, name);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    let mut reader = ImageReader::new(Cursor::new(bytes));
    if let Ok(format) = image::guess_format(bytes) {
        reader.set_format(format);
    }
    reader.limits(limits);
    let format = reader.format();
    let mut decoder = reader.into_decoder().map_err(fail)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS || width.max(height) > MAX_SIDE {
        return Err(Error::Size {
            name: name.to_owned(),
            width,
            height,
            limit: format!("{MAX_PIXELS} pixels and {MAX_SIDE} a side"),
        });
    }
    if format == Some(ImageFormat::Jpeg) && !jpeg::is_complete(bytes) {
        return Err(Error::Damaged {
            name: name.to_owned(),
            reason: "the JPEG data ends early".to_owned(),
        });
    }
    // Broken EXIF data is ignored; the picture is still usable.
    let orientation = decoder.orientation().ok();
    let mut image = DynamicImage::from_decoder(decoder).map_err(fail)?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    Ok(flatten(image, ground))
}

/// Converts to eight bits a channel, with transparency over `ground`.
fn flatten(image: DynamicImage, ground: u8) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let (width, height) = image.dimensions();
    let ground = u32::from(ground);
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for pixel in image.pixels() {
        let [red, green, blue, alpha] = pixel.0.map(u32::from);
        pixels.extend(
            [red, green, blue]
                .map(|value| ((value * alpha + ground * (255 - alpha) + 127) / 255) as u8),
        );
    }
    RgbImage::from_raw(width, height, pixels).expect("three bytes a pixel")
}

fn decoding_error(error: ImageError, name: &str) -> Error {
    let name = name.to_owned();
    let reason = error.to_string().lines().collect::<Vec<_>>().join("; ");
    match error {
        ImageError::Unsupported(_) => Error::Unsupported { name, reason },
        _ => Error::Damaged { name, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgba, RgbaImage};

    #[test]
    fn what_shows_through_is_white_in_pictures_and_black_in_masks() {
        let clear = |alpha| RgbaImage::from_pixel(1, 1, Rgba([200, 200, 200, alpha]));
        let shown = |alpha, ground| flatten(clear(alpha).into(), ground).get_pixel(0, 0)[0];
        assert_eq!(
            [0, 51, 255].map(|alpha| shown(alpha, WHITE)),
            [255, 244, 200]
        );
        assert_eq!([0, 51, 255].map(|alpha| shown(alpha, BLACK)), [0, 40, 200]);
    }
}
