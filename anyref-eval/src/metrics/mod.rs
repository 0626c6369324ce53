//! Scores of benchmarks, to the letter of their reference code.
//!
//! Each metric is a [`Metric`]: it turns samples, which hold what one picture, sentence or video adds, into
//! scores. Sums over samples are whole numbers where the reference's are, so that scores of any subset, and with
//! them [intervals and comparisons](super::confidence), cost one pass over the samples.
//!
//! | metric | benchmark | formulas of |
//! | --- | --- | --- |
//! | [`Referring`] | RefCOCO, RefCOCO+, RefCOCOg, RefCLEF | LAVT (cIoU, mIoU, precision), LISA (gIoU) |
//! | [`Reasoning`] | ReasonSeg | LISA |
//! | [`Generalized`] | gRefCOCO | ReLA |
//! | [`FewShot`] | COCO-20i, PASCAL-5i | HSNet |
//! | [`AudioVisual`] | AVSBench S4 and MS3 | AVSBench |
//! | [`caption::Captioning`] | expressions of regions | pycocoevalcap |

pub mod caption;

mod audio_visual;
mod few_shot;
mod generalized;
mod overlap;
mod segmentation;
mod soft_mask;

pub use audio_visual::{AudioVisual, Batch, Frame};
pub use few_shot::{Episode, FewShot};
pub use generalized::{Generalized, GeneralizedSample};
pub use overlap::{Overlap, united};
pub use segmentation::{Reasoning, Referring};
pub use soft_mask::SoftMask;

use anyref_decoder::rle;

/// What can be wrong with what is scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A mask is not of the picture's size, or is no mask.
    #[error(transparent)]
    Mask(#[from] anyref_decoder::Error),
    /// The mask to find lies where pixels are to be ignored.
    #[error("{pixels} pixels of the true mask are to be ignored: a pixel is one or the other")]
    IgnoredTruth {
        /// Pixels that are both.
        pixels: u64,
    },
    /// A soft mask has another number of pixels than the true mask.
    #[error("a soft mask of {found} pixels, but the picture is {height} x {width}")]
    SoftSize {
        /// Pixels of the soft mask.
        found: usize,
        /// Height of the picture.
        height: usize,
        /// Width of the picture.
        width: usize,
    },
    /// A probability outside 0 to 1.
    #[error("probability {value} of pixel {index} is not from 0 to 1")]
    Probability {
        /// Which pixel, row by row.
        index: usize,
        /// As text, since not every number can be compared.
        value: String,
    },
    /// There is no expression to compare a description with.
    #[error("a description needs at least one reference expression")]
    NoReference,
    /// A program that scores descriptions fails.
    #[error(transparent)]
    Program(#[from] caption::ProgramError),
}

/// The metrics' result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Scores over samples.
pub trait Metric {
    /// What one sample adds.
    type Sample;

    /// Names of the scores.
    fn names(&self) -> Vec<String>;

    /// The scores of some samples, each of which may come several times; none where a score has no meaning for
    /// them, such as a mean over nothing.
    fn scores<'a>(&self, samples: impl Iterator<Item = &'a Self::Sample>) -> Vec<Option<f64>>
    where
        Self::Sample: 'a;

    /// Samples that resampling may exchange for one another share this number.
    fn stratum(&self, _sample: &Self::Sample) -> u64 {
        0
    }
}

/// A quotient, none where the divisor is 0.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole != 0.0).then(|| part / whole)
}

/// The empty mask of a size.
///
/// # Errors
/// When the size is beyond [`MAX_PIXELS`](rle::MAX_PIXELS).
pub fn empty_mask(size: [usize; 2]) -> Result<rle::Rle> {
    let area = size[0].saturating_mul(size[1]);
    let area = u32::try_from(area).unwrap_or(u32::MAX);
    Ok(rle::Rle::from_counts(&[area], size)?)
}
