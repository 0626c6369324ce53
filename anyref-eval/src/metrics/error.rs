//! Errors of scoring.

use super::caption::ProgramError;

/// Failure to score.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A mask has another size than the picture, or is no mask.
    #[error(transparent)]
    Mask(#[from] anyref_decoder::Error),
    /// The true mask covers pixels to be ignored.
    #[error(
        "{pixels} pixels are both in the true mask and among those to ignore: take them out of one"
    )]
    IgnoredTruth {
        /// Number of pixels that are both.
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
    /// A probability is outside of 0 to 1.
    #[error("probability {value} of pixel {index} is not from 0 to 1")]
    Probability {
        /// Index of the pixel, row-major.
        index: usize,
        /// Value as text, because NaN cannot be compared.
        value: String,
    },
    /// A description has no expression to be compared with.
    #[error("a description needs at least one reference expression")]
    NoReference,
    /// A program that scores descriptions failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// Result with an [`Error`] of the metrics.
pub type Result<T, E = Error> = std::result::Result<T, E>;
