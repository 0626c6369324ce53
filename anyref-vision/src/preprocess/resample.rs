//! Antialiased resizing of 8-bit pictures, bit-identical to Pillow's `Image.resize` before version
//! 13, which prepared the towers' training pictures, and within one level of torchvision's.
//!
//! Each pass is a weighted sum in 22-bit fixed point, rounded to a byte. The horizontal pass always
//! comes first. Pillow 13 runs the vertical one first for some sizes; where bicubic overshoot is
//! clipped between the passes, its result may then differ by several levels.

use image::RgbImage;

/// Interpolation kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Triangle.
    Bilinear,
    /// Keys' cubic with a = -0.5.
    Bicubic,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic => {
                const A: f64 = -0.5;
                if x < 1.0 {
                    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
                } else if x < 2.0 {
                    (((x - 5.0) * x + 8.0) * x - 4.0) * A
                } else {
                    0.0
                }
            }
        }
    }
}

/// Fraction bits of a weight: 32, less 8 for the pixel and 2 for headroom.
const PRECISION_BITS: u32 = 22;

/// Weights of the source pixels of some target positions along one side.
pub(super) struct Axis {
    positions: Vec<Taps>,
}

struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Axis {
    /// Computes the resizing of `source` pixels to `target`, at the given target positions. A side
    /// that keeps its length is copied.
    pub(super) fn new(
        source: usize,
        target: usize,
        filter: Filter,
        positions: impl Iterator<Item = usize>,
    ) -> Self {
        if source == target {
            let copy = |first| Taps {
                first,
                weights: vec![1 << PRECISION_BITS],
            };
            return Self {
                positions: positions.map(copy).collect(),
            };
        }
        let scale = source as f64 / target as f64;
        // When shrinking, the kernel is widened, which removes aliasing.
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let taps = |position: usize| {
            let centre = (position as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(source);
            let weights: Vec<f64> = (first..last)
                .map(|pixel| filter.weight((pixel as f64 - centre + 0.5) * (1.0 / stretch)))
                .collect();
            let total: f64 = weights.iter().sum();
            let fixed = |weight: f64| {
                let weight = if total == 0.0 { weight } else { weight / total };
                (weight * f64::from(1 << PRECISION_BITS)).round() as i32
            };
            Taps {
                first,
                weights: weights.into_iter().map(fixed).collect(),
            }
        };
        Self {
            positions: positions.map(taps).collect(),
        }
    }

    fn len(&self) -> usize {
        self.positions.len()
    }
}

fn round_to_byte(sum: i64) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Target pixels at the positions of the two axes, as interleaved RGB, row by row.
pub(super) fn resample(image: &RgbImage, columns: &Axis, rows: &Axis) -> Vec<u8> {
    const HALF: i64 = 1 << (PRECISION_BITS - 1);
    let source_width = image.width() as usize * 3;
    let width = columns.len() * 3;
    // The first pass skips source rows that no target row needs.
    let first_row = rows
        .positions
        .iter()
        .map(|taps| taps.first)
        .min()
        .unwrap_or(0);
    let end_row = rows
        .positions
        .iter()
        .map(|taps| taps.first + taps.weights.len())
        .max();
    let end_row = end_row.unwrap_or(0);
    let mut wide = vec![0u8; width * (end_row - first_row)];
    let source = image.as_raw().chunks_exact(source_width).skip(first_row);
    for (target, source) in wide.chunks_exact_mut(width.max(1)).zip(source) {
        for (pixel, taps) in target.chunks_exact_mut(3).zip(&columns.positions) {
            let mut sums = [HALF; 3];
            let source = source[taps.first * 3..].chunks_exact(3);
            for (&weight, source) in taps.weights.iter().zip(source) {
                for (sum, &byte) in sums.iter_mut().zip(source) {
                    *sum += i64::from(weight) * i64::from(byte);
                }
            }
            for (byte, sum) in pixel.iter_mut().zip(sums) {
                *byte = round_to_byte(sum);
            }
        }
    }
    let mut result = vec![0u8; width * rows.len()];
    let mut sums = vec![HALF; width];
    for (target, taps) in result.chunks_exact_mut(width.max(1)).zip(&rows.positions) {
        sums.fill(HALF);
        let source = wide[(taps.first - first_row) * width..].chunks_exact(width.max(1));
        for (&weight, source) in taps.weights.iter().zip(source) {
            for (sum, &byte) in sums.iter_mut().zip(source) {
                *sum += i64::from(weight) * i64::from(byte);
            }
        }
        for (byte, &sum) in target.iter_mut().zip(&sums) {
            *byte = round_to_byte(sum);
        }
    }
    result
}

/// Resizes a picture like `Image.resize((width, height), filter)` in Pillow before version 13.
///
/// # Panics
/// When a side of the picture or of the result is 0.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    assert!(
        image.width() > 0 && image.height() > 0 && width > 0 && height > 0,
        "pictures have at least one pixel"
    );
    let axis = |source: u32, target: u32| {
        Axis::new(source as usize, target as usize, filter, 0..target as usize)
    };
    let pixels = resample(
        image,
        &axis(image.width(), width),
        &axis(image.height(), height),
    );
    RgbImage::from_raw(width, height, pixels).expect("three bytes a pixel")
}
