//! Error type of the crate.

/// Fault of a configuration, a mask or its COCO form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Configuration of a prompt encoder or mask decoder is invalid.
    #[error("mask decoder config: `{field}` {problem}")]
    Config {
        /// Invalid field.
        field: &'static str,
        /// Fault, and the valid form.
        problem: String,
    },
    /// Number of pixels does not match the size.
    #[error("{pixels} pixels do not make a mask of {height} x {width}")]
    PixelCount {
        /// Number of pixels given.
        pixels: usize,
        /// Height given.
        height: usize,
        /// Width given.
        width: usize,
    },
    /// Size exceeds the limit of masks.
    #[error("a mask of {height} x {width} is beyond the limit of {limit} pixels")]
    TooLarge {
        /// Height given.
        height: usize,
        /// Width given.
        width: usize,
        /// Maximum number of pixels.
        limit: usize,
    },
    /// Byte is not used in COCO's run-length strings.
    #[error("byte {byte:#04x} at {offset} is not one of a COCO run-length string ('0' to 'o')")]
    Character {
        /// Invalid byte.
        byte: u8,
        /// Offset of the byte in the string.
        offset: usize,
    },
    /// String ends within a number.
    #[error("the COCO run-length string ends within a number; it may have been cut off")]
    Truncated,
    /// Run is negative or longer than any mask.
    #[error("run {index} of the mask has the impossible length {length}")]
    RunLength {
        /// Index of the run.
        index: usize,
        /// Length of the run.
        length: i64,
    },
    /// Runs do not cover the size exactly.
    #[error("the runs cover {covered} pixels, but the mask is {height} x {width}")]
    Coverage {
        /// Total pixels of all runs.
        covered: u64,
        /// Height given.
        height: usize,
        /// Width given.
        width: usize,
    },
    /// Masks differ in size.
    #[error("masks of {}x{} and {}x{} cannot be combined; bring them to one size first", left[0], left[1], right[0], right[1])]
    SizeMismatch {
        /// Height and width of the first mask.
        left: [usize; 2],
        /// Height and width of the second mask.
        right: [usize; 2],
    },
    /// No masks were given to merge, so the size is unknown.
    #[error("merging needs at least one mask")]
    NothingToMerge,
}

/// Result type of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Rejects a size that is 0 or not a multiple of `of`.
pub(crate) fn positive_multiple(field: &'static str, size: usize, of: usize) -> Result<()> {
    match size > 0 && size.is_multiple_of(of) {
        true => Ok(()),
        false => Err(Error::Config {
            field,
            problem: format!("is {size}: make it a positive multiple of {of}"),
        }),
    }
}
