//! Masks and label maps in PNG files, with the stored values: a palette's indices, not its colours.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use png::{BitDepth, ColorType, Transformations};

use super::error::{Error, Result};
use crate::scenes::Mask;

/// Selection of the pixels of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Pixels that are not 0; with a palette, pixels whose index is not 0.
    NotZero,
    /// Pixels at least half as bright as white.
    Bright,
    /// Pixels of this label.
    Label(u32),
    /// Pixels of this colour.
    Colour([u8; 3]),
    /// Pixels with this value in this channel.
    Channel(usize, u8),
}

/// Decoded PNG file.
#[derive(Debug, Clone)]
pub struct LabelMap {
    size: [u32; 2],
    /// Values a pixel; 1 for grey values and palette indices.
    channels: usize,
    values: Vec<u16>,
    /// Colours of the palette by index.
    palette: Option<Vec<[u8; 3]>>,
    /// Value of white.
    white: u16,
}

impl LabelMap {
    /// Reads a PNG file.
    ///
    /// # Errors
    /// When the file cannot be opened, is not a complete PNG file, or has a picture too large to
    /// decode.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let bad = |e: png::DecodingError| Error::picture(path, e);
        let mut decoder = png::Decoder::new(BufReader::new(file));
        decoder.set_transformations(Transformations::IDENTITY);
        let mut reader = decoder.read_info().map_err(bad)?;
        let palette = reader.info().palette.as_ref().map(|palette| {
            let colours = palette.chunks_exact(3);
            colours.map(|c| [c[0], c[1], c[2]]).collect()
        });
        let length = reader
            .output_buffer_size()
            .ok_or_else(|| Error::picture(path, "the picture is too large"))?;
        let mut bytes = vec![0; length];
        let frame = reader.next_frame(&mut bytes).map_err(bad)?;
        let channels = frame.color_type.samples();
        let [width, height] = [frame.width as usize, frame.height as usize];
        let mut values = Vec::with_capacity(width * height * channels);
        for row in bytes.chunks_exact(frame.line_size.max(1)).take(height) {
            unpack(row, frame.bit_depth, width * channels, &mut values);
        }
        let white = match (frame.color_type, frame.bit_depth) {
            (ColorType::Indexed, _) => u16::from(u8::MAX),
            (_, depth) => ((1u32 << depth as u32) - 1) as u16,
        };
        Ok(Self {
            size: [frame.width, frame.height],
            channels,
            values,
            palette,
            white,
        })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> [u32; 2] {
        self.size
    }

    /// Mask of the selected pixels.
    pub fn mask(&self, which: Which) -> Mask {
        let [width, height] = self.size.map(|side| side as usize);
        let pixels = self.values.chunks_exact(self.channels);
        Mask::from_pixels(width, height, pixels.map(|p| self.belongs(p, which)))
    }

    /// Values of one channel, with the number of pixels of each.
    pub fn counts(&self, channel: usize) -> BTreeMap<u32, usize> {
        let mut counts = vec![0; usize::from(u16::MAX) + 1];
        for pixel in self.values.chunks_exact(self.channels) {
            counts[usize::from(pixel[channel.min(self.channels - 1)])] += 1;
        }
        let values = counts.into_iter().enumerate();
        values
            .filter(|&(_, count)| count > 0)
            .map(|(value, count)| (value as u32, count))
            .collect()
    }

    /// Colours, with the number of pixels of each.
    pub(crate) fn colours(&self) -> BTreeMap<[u8; 3], usize> {
        let mut counts = BTreeMap::new();
        for pixel in self.values.chunks_exact(self.channels) {
            *counts.entry(self.colour(pixel)).or_default() += 1;
        }
        counts
    }

    /// Number of channels.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Values of each pixel, one slice a pixel.
    pub(super) fn pixels(&self) -> impl Iterator<Item = &[u16]> {
        self.values.chunks_exact(self.channels)
    }

    fn belongs(&self, pixel: &[u16], which: Which) -> bool {
        match which {
            // Opaque black pixels do not belong to the mask.
            Which::NotZero => pixel[..self.opaque()].iter().any(|&value| value != 0),
            Which::Bright => {
                let [r, g, b] = self.colour(pixel).map(u32::from);
                299 * r + 587 * g + 114 * b >= 128_000
            }
            Which::Label(label) => u32::from(pixel[0]) == label,
            Which::Colour(colour) => self.colour(pixel) == colour,
            Which::Channel(channel, value) => {
                pixel.get(channel).is_some_and(|&v| v == u16::from(value))
            }
        }
    }

    /// Number of channels without alpha.
    fn opaque(&self) -> usize {
        match self.channels {
            2 | 4 => self.channels - 1,
            channels => channels,
        }
    }

    fn colour(&self, pixel: &[u16]) -> [u8; 3] {
        if let Some(palette) = &self.palette
            && self.channels == 1
        {
            return palette
                .get(usize::from(pixel[0]))
                .copied()
                .unwrap_or([0; 3]);
        }
        let byte = |value: u16| (u32::from(value) * 255 / u32::from(self.white)) as u8;
        match *pixel {
            [r, g, b, ..] => [byte(r), byte(g), byte(b)],
            [grey, ..] => [byte(grey); 3],
            [] => [0; 3],
        }
    }
}

/// Unpacks the values of one row.
fn unpack(row: &[u8], depth: BitDepth, count: usize, values: &mut Vec<u16>) {
    match depth {
        BitDepth::Sixteen => {
            let pairs = row.chunks_exact(2).take(count);
            values.extend(pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])));
        }
        BitDepth::Eight => values.extend(row.iter().take(count).map(|&byte| u16::from(byte))),
        BitDepth::One | BitDepth::Two | BitDepth::Four => {
            let bits = depth as usize;
            let each = 8 / bits;
            values.extend((0..count).map(|i| {
                let shift = 8 - bits * (i % each + 1);
                u16::from(row[i / each] >> shift) & ((1 << bits) - 1)
            }));
        }
    }
}
