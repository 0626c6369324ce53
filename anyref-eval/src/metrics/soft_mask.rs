//! Probabilities of pixels at the resolution of the F-score's thresholds.

use anyref_decoder::rle::Rle;

use super::error::{Error, Result};

/// Number of thresholds of AVSBench's F-score.
pub const THRESHOLDS: usize = 255;

/// Index, 0 to 254, of the highest threshold that each pixel's probability reaches: all that the
/// F-score distinguishes, in one byte.
///
/// Threshold `i` is `i / 254`. (The reference ends at 1 - 1e-10, which in its single precision is
/// 1.) As an 8-bit grey picture, a pixel of probability p is `floor(254 p)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftMask {
    /// Levels, row-major.
    levels: Vec<u8>,
}

impl SoftMask {
    /// Mask of levels, row-major; 255 counts as the highest, 254.
    pub fn from_levels(levels: Vec<u8>) -> Self {
        let highest = (THRESHOLDS - 1) as u8;
        Self {
            levels: levels.into_iter().map(|level| level.min(highest)).collect(),
        }
    }

    /// Mask of probabilities, row-major.
    ///
    /// # Errors
    /// When a probability is outside of 0 to 1.
    pub fn from_probabilities(probabilities: &[f32]) -> Result<Self> {
        let thresholds = thresholds();
        let level = |(index, &value): (usize, &f32)| match value {
            0.0..=1.0 => Ok((thresholds.partition_point(|&t| t <= value) - 1) as u8),
            _ => Err(Error::Probability {
                index,
                value: value.to_string(),
            }),
        };
        let levels = probabilities.iter().enumerate().map(level);
        Ok(Self {
            levels: levels.collect::<Result<_>>()?,
        })
    }

    /// Levels, row-major.
    pub fn levels(&self) -> &[u8] {
        &self.levels
    }

    /// Number of pixels at each level, in all and in the true mask.
    pub(super) fn histogram(&self, truth: &Rle) -> Result<Histogram> {
        let [height, width] = truth.size();
        if self.levels.len() != height * width {
            return Err(Error::SoftSize {
                found: self.levels.len(),
                height,
                width,
            });
        }
        let mut histogram = Histogram::default();
        for (&level, on) in self.levels.iter().zip(truth.to_mask()) {
            histogram.all[usize::from(level)] += 1;
            histogram.truth[usize::from(level)] += u64::from(on);
        }
        Ok(histogram)
    }
}

/// Number of pixels by level.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    pub all: [u64; THRESHOLDS],
    pub truth: [u64; THRESHOLDS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            all: [0; THRESHOLDS],
            truth: [0; THRESHOLDS],
        }
    }
}

/// Thresholds in single precision, computed from the nearer end as in torch's `linspace`.
fn thresholds() -> [f32; THRESHOLDS] {
    let last = THRESHOLDS - 1;
    let step = 1.0 / last as f32;
    std::array::from_fn(|i| match i < THRESHOLDS / 2 {
        true => step * i as f32,
        false => 1.0 - step * (last - i) as f32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_thresholds() {
        let soft = SoftMask::from_probabilities(&[0.0, 0.003, 0.004, 0.25, 0.9999, 1.0]).unwrap();
        assert_eq!(soft.levels(), [0, 0, 1, 63, 253, 254]);
        assert_eq!(SoftMask::from_levels(vec![255, 3]).levels(), [254, 3]);
        for wrong in [-0.1, 1.1, f32::NAN] {
            assert!(matches!(
                SoftMask::from_probabilities(&[0.5, wrong]),
                Err(Error::Probability { index: 1, .. })
            ));
        }
    }

    #[test]
    fn another_number_of_pixels_is_refused() {
        let truth = Rle::from_mask(&[true; 6], [2, 3]).unwrap();
        let soft = SoftMask::from_levels(vec![0; 5]);
        assert_eq!(
            soft.histogram(&truth).unwrap_err(),
            Error::SoftSize {
                found: 5,
                height: 2,
                width: 3
            }
        );
    }
}
