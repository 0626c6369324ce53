//! Errors of scoring.

use super::caption::ProgramError;

/// Failure to score.
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
    Program(#[from] ProgramError),
}

/// The metrics' result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;
