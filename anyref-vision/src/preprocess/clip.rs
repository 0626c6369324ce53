//! Pre-processing of the CLIP tower.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::pixels::{PixelValues, tables};
use super::resample::{Axis, Filter, resample};

/// OpenAI's channel means.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// OpenAI's channel deviations.
#[expect(clippy::excessive_precision, reason = "as published")]
const STD: [f32; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// Way from a picture of any shape to the tower's square. Both resize the shortest side to
/// `image_size` first, antialiased bicubic on bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipResize {
    /// The whole picture, squeezed to the square by plain bilinear interpolation (not antialiased)
    /// after normalisation, as AnyRef's authors train.
    #[default]
    Squeeze,
    /// The square in the middle, as transformers' `CLIPImageProcessor` crops and LISA trains. What
    /// lies beside it is not seen.
    CenterCrop,
}

/// Resizes and normalises pictures for a CLIP tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipPreprocessor {
    image_size: usize,
    resize: ClipResize,
}

impl ClipPreprocessor {
    /// For a tower of this picture side, by [`ClipResize::Squeeze`].
    pub fn new(image_size: usize) -> Self {
        Self {
            image_size,
            resize: ClipResize::default(),
        }
    }

    /// Sets the way to the square.
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
        }
    }

    /// Length of a side once the shortest one is `image_size`.
    fn resized(&self, image: &RgbImage, length: usize) -> usize {
        let short = image.width().min(image.height()) as usize;
        self.image_size * length / short
    }

    fn center_crop(&self, image: &RgbImage) -> PixelValues {
        let side = self.image_size;
        let axis = |length: u32| {
            let length = length as usize;
            let resized = self.resized(image, length);
            let first = (resized - side) / 2;
            Axis::new(length, resized, Filter::Bicubic, first..first + side)
        };
        let bytes = resample(image, &axis(image.width()), &axis(image.height()));
        let table = normalisation();
        let mut data = Vec::with_capacity(3 * side * side);
        for (channel, table) in table.iter().enumerate() {
            let values = bytes.iter().skip(channel).step_by(3);
            data.extend(values.map(|&byte| table[byte as usize]));
        }
        PixelValues {
            data,
            shape: [3, side, side],
        }
    }

    fn squeeze(&self, image: &RgbImage) -> PixelValues {
        let side = self.image_size;
        let (width, height) = (image.width() as usize, image.height() as usize);
        let resized = |length: usize| self.resized(image, length);
        // The second step reads at most two lines a line of the result. Only those are made: a long
        // picture would otherwise need an intermediate of `side` squared times its aspect.
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

/// Plain bilinear interpolation along one side (`align_corners` off), and the source lines it
/// reads.
struct Squeeze {
    needed: Vec<usize>,
    taps: Vec<Tap>,
}

/// Two of the needed lines, by their place among these.
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
            // Lines come in rising order, but for the overlap of neighbours.
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
