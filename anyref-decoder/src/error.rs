//! The crate's error type.

/// Faults of a configuration, a mask or its COCO form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A configuration that no prompt encoder or mask decoder can have.
    #[error("mask decoder config: `{field}` {problem}")]
    Config {
        /// The field at fault.
        field: &'static str,
        /// The fault, and the right form.
        problem: String,
    },
    /// The pixels do not fill the given size.
    #[error("{pixels} pixels do not make a mask of {height} x {width}")]
    PixelCount {
        /// Number of pixels given.
        pixels: usize,
        /// Height given.
        height: usize,
        /// Width given.
        width: usize,
    },
    /// The size is beyond what masks may have.
    #[error("a mask of {height} x {width} is beyond the limit of {limit} pixels")]
    TooLarge {
        /// Height given.
        height: usize,
        /// Width given.
        width: usize,
        /// Most pixels of a mask.
        limit: usize,
    },
    /// A byte that COCO's run-length strings do not use.
    #[error("byte {byte:#04x} at {offset} is not one of a COCO run-length string ('0' to 'o')")]
    Character {
        /// The byte.
        byte: u8,
        /// Its place in the string.
        offset: usize,
    },
    /// The string ends within a number.
    #[error("the COCO run-length string ends within a number; it may have been cut off")]
    Truncated,
    /// A run that is negative or longer than any mask.
    #[error("run {index} of the mask has the impossible length {length}")]
    RunLength {
        /// Which run.
        index: usize,
        /// Its length.
        length: i64,
    },
    /// The runs do not fill the size.
    #[error("the runs cover {covered} pixels, but the mask is {height} x {width}")]
    Coverage {
        /// Pixels of all runs.
        covered: u64,
        /// Height given.
        height: usize,
        /// Width given.
        width: usize,
    },
    /// Two masks that should be of one picture are not.
    #[error("masks of {}x{} and {}x{} cannot be combined; bring them to one size first", left[0], left[1], right[0], right[1])]
    SizeMismatch {
        /// Height and width of the one.
        left: [usize; 2],
        /// Height and width of the other.
        right: [usize; 2],
    },
    /// There is nothing to merge, so there is no size either.
    #[error("merging needs at least one mask")]
    NothingToMerge,
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Refuses a size that is 0 or not a multiple of `of`.
pub(crate) fn positive_multiple(field: &'static str, size: usize, of: usize) -> Result<()> {
    match size > 0 && size.is_multiple_of(of) {
        true => Ok(()),
        false => Err(Error::Config {
            field,
            problem: format!("is {size}: make it a positive multiple of {of}"),
        }),
    }
}
