//! Masks in COCO's run-length encoding: alternating runs of off and on pixels, column by column.
//!
//! Strings equal those of pycocotools, byte for byte. Strings from outside are checked: a value of
//! [`Rle`] always covers its size exactly.

mod combine;
mod compressed;
mod rings;

use serde::{Deserialize, Serialize};

pub use combine::Merge;

use crate::error::{Error, Result};

/// Maximum pixels of a mask; without a limit a few bytes could request any amount of memory.
pub const MAX_PIXELS: usize = 1 << 28;

/// Binary mask as runs; in JSON `{"size": [height, width], "counts": "..."}`, where `counts` may
/// also be a list of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct Rle {
    size: [usize; 2],
    /// Run lengths: off, on, off...; only the first may be 0.
    counts: Vec<u32>,
}

impl Rle {
    /// Encodes pixels in row-major order.
    ///
    /// # Errors
    /// When the number of pixels does not match the size, or the size exceeds [`MAX_PIXELS`].
    pub fn from_mask(pixels: &[bool], size: [usize; 2]) -> Result<Self> {
        let [height, width] = size;
        if pixels.len() as u64 != area_of(size)? {
            return Err(Error::PixelCount {
                pixels: pixels.len(),
                height,
                width,
            });
        }
        let mut runs = Runs::default();
        for x in 0..width {
            for y in 0..height {
                runs.push(pixels[y * width + x], 1);
            }
        }
        Ok(Self {
            size,
            counts: runs.finish(),
        })
    }

    /// Creates a mask from runs of off and on pixels, column by column, off first.
    ///
    /// # Errors
    /// When the runs do not cover the size exactly, or the size exceeds [`MAX_PIXELS`].
    pub fn from_counts(counts: &[u32], size: [usize; 2]) -> Result<Self> {
        let [height, width] = size;
        let area = area_of(size)?;
        let covered = counts.iter().map(|&count| u64::from(count)).sum();
        if covered != area {
            return Err(Error::Coverage {
                covered,
                height,
                width,
            });
        }
        let mut runs = Runs::default();
        for (index, &count) in counts.iter().enumerate() {
            runs.push(index % 2 == 1, count);
        }
        Ok(Self {
            size,
            counts: runs.finish(),
        })
    }

    /// Parses COCO's compressed string.
    ///
    /// # Errors
    /// When the string has a byte outside '0' to 'o', ends within a number, or has a negative or
    /// overlong run; also see [`from_counts`](Self::from_counts).
    pub fn from_compressed(string: &str, size: [usize; 2]) -> Result<Self> {
        area_of(size)?;
        Self::from_counts(&compressed::read(string.as_bytes())?, size)
    }

    /// Encodes the mask as COCO's compressed string.
    pub fn to_compressed(&self) -> String {
        compressed::write(&self.counts)
    }

    /// Decodes the pixels in row-major order.
    pub fn to_mask(&self) -> Vec<bool> {
        let [height, width] = self.size;
        let mut pixels = vec![false; height * width];
        for run in self.on_runs() {
            for place in run {
                pixels[place % height * width + place / height] = true;
            }
        }
        pixels
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Lengths of the runs, off first.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Number of pixels that are set.
    pub fn area(&self) -> u64 {
        self.counts
            .iter()
            .skip(1)
            .step_by(2)
            .map(|&count| u64::from(count))
            .sum()
    }

    /// Smallest box around the pixels that are set, `[x, y, width, height]`; all 0 for an empty
    /// mask.
    pub fn bbox(&self) -> [usize; 4] {
        let [height, _] = self.size;
        let (mut x0, mut y0, mut x1, mut y1) = (usize::MAX, usize::MAX, 0, 0);
        for run in self.on_runs() {
            let (first, last) = (run.start, run.end - 1);
            let (left, right) = (first / height, last / height);
            let (top, bottom) = match left == right {
                true => (first % height, last % height),
                false => (0, height - 1),
            };
            (x0, y0) = (x0.min(left), y0.min(top));
            (x1, y1) = (x1.max(right), y1.max(bottom));
        }
        match x0 {
            usize::MAX => [0; 4],
            _ => [x0, y0, x1 + 1 - x0, y1 + 1 - y0],
        }
    }

    /// Ranges of the runs of set pixels, counted column by column.
    fn on_runs(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let mut end = 0;
        self.counts
            .iter()
            .enumerate()
            .filter_map(move |(index, &count)| {
                let start = end;
                end += count as usize;
                (index % 2 == 1).then_some(start..end)
            })
    }
}

/// Builder of runs in canonical form, in which neighbours differ.
#[derive(Default)]
struct Runs {
    counts: Vec<u32>,
    on: bool,
    current: u32,
}

impl Runs {
    fn push(&mut self, on: bool, count: u32) {
        if count == 0 {
            return;
        }
        if on != self.on {
            self.counts.push(self.current);
            (self.on, self.current) = (on, 0);
        }
        self.current += count;
    }

    fn finish(mut self) -> Vec<u32> {
        self.counts.push(self.current);
        self.counts
    }
}

fn area_of([height, width]: [usize; 2]) -> Result<u64> {
    match height.checked_mul(width) {
        Some(area) if area <= MAX_PIXELS => Ok(area as u64),
        _ => Err(Error::TooLarge {
            height,
            width,
            limit: MAX_PIXELS,
        }),
    }
}

/// JSON form.
#[derive(Serialize, Deserialize)]
struct Document {
    size: [usize; 2],
    counts: Counts,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Counts {
    Compressed(String),
    List(Vec<u32>),
}

impl TryFrom<Document> for Rle {
    type Error = Error;

    fn try_from(document: Document) -> Result<Self> {
        match document.counts {
            Counts::Compressed(string) => Self::from_compressed(&string, document.size),
            Counts::List(counts) => Self::from_counts(&counts, document.size),
        }
    }
}

impl From<Rle> for Document {
    fn from(rle: Rle) -> Self {
        Self {
            size: rle.size,
            counts: Counts::Compressed(rle.to_compressed()),
        }
    }
}
