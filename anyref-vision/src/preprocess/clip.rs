//! Preprocessing for the CLIP tower.

use image::{Rgb, RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::pixels::{PixelValues, tables};
use super::resample::{Axis, Filter, resample};

/// OpenAI's channel means.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// OpenAI's channel deviations.
#[expect(clippy::excessive_precision, reason = "as published")]
const STD: [f32; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// Conversion of a picture of any shape to the tower's square. All variants use antialiased bicubic
/// resizing on bytes; the first two begin by resizing the shortest side to `image_size`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipResize {
    /// Whole picture, squeezed to the square by plain bilinear interpolation (not antialiased)
    /// after normalisation, as AnyRef's authors train.
    #[default]
    Squeeze,
    /// Square in the middle, as transformers' `CLIPImageProcessor` crops and LISA trains. The
    /// remainder is discarded.
    CenterCrop,
    /// Whole picture in the middle of a square of CLIP's mean color, as LLaVA-1.5 trains
    /// (`image_aspect_ratio` "pad").
    Pad,
}

/// Number of picture rows that are padded at a time.
const ROWS_AT_ONCE: usize = 64;
/// CLIP's mean color, with which LLaVA pads (`expand2square`).
const FILL: Rgb<u8> = Rgb([122, 116, 104]);

/// Centres a picture in a square, so that a centre crop keeps all of it.
pub fn squared(image: &RgbImage) -> RgbImage {
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

/// Resizes and normalises pictures for a CLIP tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipPreprocessor {
    image_size: usize,
    resize: ClipResize,
}

impl ClipPreprocessor {
    /// Creates a preprocessor for a tower of this picture side, with [`ClipResize::Squeeze`].
    pub fn new(image_size: usize) -> Self {
        Self {
            image_size,
            resize: ClipResize::default(),
        }
    }

    /// Sets the conversion to the square.
    pub fn with_resize(mut self, resize: ClipResize) -> Self {
        self.resize = resize;
        self
    }

    /// Pixels of a picture, normalised by OpenAI's means and deviations.
    ///
    /// # Panics
    /// When the picture has no pixels.
    pub fn process(&self, image: &RgbImage) -> PixelValues {
        let (width, height) = (image.width() as usize, image.height() as usize);
        assert!(width > 0 && height > 0, "pictures have at least one pixel");
        match self.resize {
            ClipResize::Squeeze => self.squeeze(image),
            ClipResize::CenterCrop => self.center_crop(image),
            ClipResize::Pad => self.pad(image),
        }
    }

    /// Length of a side after resizing the shortest one to `image_size`.
    fn resized(&self, image: &RgbImage, length: usize) -> usize {
        let short = image.width().min(image.height()) as usize;
        self.image_size * length / short
    }

    /// Equals [`center_crop`](Self::center_crop) of the [`squared`] picture, but builds only
    /// [`ROWS_AT_ONCE`] rows at a time: the square of a long picture is large.
    fn pad(&self, image: &RgbImage) -> PixelValues {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let (side, size) = (width.max(height), self.image_size);
        let across = Axis::new(side, size, Filter::Bicubic, 0..size);
        let (left, top) = ((side - width) / 2, (side - height) / 2);
        let mut narrow = RgbImage::from_pixel(size as u32, side as u32, FILL);
        for first in (0..height).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(height - first);
            let strip = imageops::crop_imm(image, 0, first as u32, width as u32, rows as u32);
            let mut wide = RgbImage::from_pixel(side as u32, rows as u32, FILL);
            imageops::replace(&mut wide, &strip.to_image(), left as i64, 0);
            let same = Axis::new(rows, rows, Filter::Bicubic, 0..rows);
            let bytes = resample(&wide, &across, &same);
            let start = (top + first) * size * 3;
            narrow.as_flat_samples_mut().samples[start..start + bytes.len()]
                .copy_from_slice(&bytes);
        }
        let same = Axis::new(size, size, Filter::Bicubic, 0..size);
        let down = Axis::new(side, size, Filter::Bicubic, 0..size);
        self.normalised(&resample(&narrow, &same, &down))
    }

    fn center_crop(&self, image: &RgbImage) -> PixelValues {
        let side = self.image_size;
        let axis = |length: u32| {
            let length = length as usize;
            let resized = self.resized(image, length);
            let first = (resized - side) / 2;
            Axis::new(length, resized, Filter::Bicubic, first..first + side)
        };
        self.normalised(&resample(
            image,
            &axis(image.width()),
            &axis(image.height()),
        ))
    }

    /// Normalises interleaved RGB bytes to the tower's pixels.
    fn normalised(&self, bytes: &[u8]) -> PixelValues {
        PixelValues::normalised(bytes, [self.image_size; 2], &normalisation())
    }

    fn squeeze(&self, image: &RgbImage) -> PixelValues {
        let side = self.image_size;
        let (width, height) = (image.width() as usize, image.height() as usize);
        let resized = |length: usize| self.resized(image, length);
        // The second step reads at most two lines for each line of the result. Only those are
        // computed: a long picture would otherwise need an intermediate of `side` squared times its
        // aspect ratio.
        let across = Squeeze::new(resized(width), side);
        let down = Squeeze::new(resized(height), side);
        let columns = Axis::new(width, resized(width), Filter::Bicubic, across.lines());
        let rows = Axis::new(height, resized(height), Filter::Bicubic, down.lines());
        let bytes = resample(image, &columns, &rows);
        let stride = across.needed.len() * 3;

        let table = normalisation();
        let mut data = Vec::with_capacity(3 * side * side);
        for (channel, table) in table.iter().enumerate() {
            let value = |row: usize, column: usize| {
                table[bytes[row * stride + column * 3 + channel] as usize]
            };
            for y in &down.taps {
                for x in &across.taps {
                    let upper = x.mix(value(y.low, x.low), value(y.low, x.high));
                    let lower = x.mix(value(y.high, x.low), value(y.high, x.high));
                    data.push(y.mix(upper, lower));
                }
            }
        }
        PixelValues {
            data,
            shape: [3, side, side],
        }
    }
}

/// Normalised value of every byte, channel by channel.
fn normalisation() -> [[f32; 256]; 3] {
    tables(|byte, channel| (byte * (1.0 / 255.0) - MEAN[channel]) / STD[channel])
}

/// Plain bilinear interpolation along one side (`align_corners` off), and the source lines that it
/// reads.
struct Squeeze {
    needed: Vec<usize>,
    taps: Vec<Tap>,
}

/// Pair of needed lines, by their index among these.
struct Tap {
    low: usize,
    high: usize,
    fraction: f32,
}

impl Tap {
    fn mix(&self, low: f32, high: f32) -> f32 {
        (1.0 - self.fraction) * low + self.fraction * high
    }
}

impl Squeeze {
    fn new(source: usize, target: usize) -> Self {
        let scale = source as f32 / target as f32;
        let mut needed = Vec::new();
        let mut place = |line: usize| {
            // Lines come in ascending order, except for the overlap of neighbours.
            needed
                .iter()
                .rposition(|&other| other == line)
                .unwrap_or_else(|| {
                    needed.push(line);
                    needed.len() - 1
                })
        };
        let taps = (0..target)
            .map(|position| {
                let centre = (scale * (position as f32 + 0.5) - 0.5).max(0.0);
                let low = (centre as usize).min(source - 1);
                Tap {
                    low: place(low),
                    high: place((low + 1).min(source - 1)),
                    fraction: centre - low as f32,
                }
            })
            .collect();
        Self { needed, taps }
    }

    fn lines(&self) -> impl Iterator<Item = usize> {
        self.needed.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 7 + y * 3) as u8, (x * x + y) as u8, (y * 11) as u8])
        })
    }

    #[test]
    fn nothing_of_a_squared_picture_is_lost() {
        let image = RgbImage::from_pixel(5, 2, Rgb([9, 8, 7]));
        let square = squared(&image);
        assert_eq!(square.dimensions(), (5, 5));
        assert_eq!(square.get_pixel(0, 0), &FILL);
        assert_eq!(square.get_pixel(4, 1), &Rgb([9, 8, 7]));
        assert_eq!(square.pixels().filter(|pixel| **pixel != FILL).count(), 10);
        assert_eq!(squared(&square), square);
    }

    #[test]
    fn padded_in_strips_is_the_square_resized() {
        let padded = ClipPreprocessor::new(32).with_resize(ClipResize::Pad);
        let cropped = padded.with_resize(ClipResize::CenterCrop);
        for (width, height) in [(300, 91), (91, 300), (20, 11), (11, 20), (40, 40), (1, 1)] {
            let image = picture(width, height);
            let whole = cropped.process(&squared(&image));
            assert_eq!(padded.process(&image), whole, "{width}x{height}");
        }
        // A square of this picture would take more than a gigabyte.
        padded.process(&picture(20_000, 20));
        padded.process(&picture(20, 20_000));
    }
}
