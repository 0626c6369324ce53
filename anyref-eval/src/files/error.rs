//! Errors of files of predictions and targets.

use std::io;
use std::path::PathBuf;

use super::super::metrics;

/// Failure to read a file of predictions or targets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line of it is wrong.
    #[error("{path} line {line}: {fault}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The fault.
        fault: Box<Fault>,
    },
    /// Answers that are scored together cannot be.
    #[error(transparent)]
    Scoring(metrics::Error),
    /// There is nothing in it.
    #[error("{path} is empty: it should hold one JSON object a line")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Predictions are missing.
    #[error(
        "{path}: no prediction for {count} of the targets, the first being id {id:?} of {targets} line {line}; where nothing is found, give \"masks\": []"
    )]
    Missing {
        /// The file of predictions.
        path: PathBuf,
        /// How many are missing.
        count: usize,
        /// The first that is.
        id: String,
        /// The file of targets.
        targets: PathBuf,
        /// The target's line.
        line: usize,
    },
}

/// Fault of a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It ends within the JSON.
    #[error("the line is cut off within its JSON; write the file again")]
    Truncated,
    /// It is not JSON, or not of the expected form.
    #[error("{0}; give an object with \"id\" and what the benchmark needs")]
    Json(String),
    /// The id came before.
    #[error("id {id:?} was given before, on line {first}; remove one of the two")]
    Duplicate {
        /// The id.
        id: String,
        /// Where it came first.
        first: usize,
    },
    /// No target has the id.
    #[error(
        "id {id:?} is not one of {targets}; is this the benchmark and split of the predictions?"
    )]
    Unknown {
        /// The id.
        id: String,
        /// The file of targets.
        targets: PathBuf,
    },
    /// A mask is not of the picture's size.
    #[error(
        "mask {mask} of id {id:?} is {}x{}, but the picture is {}x{} (height x width); bring it to the picture's size",
        found[0], found[1], expected[0], expected[1]
    )]
    Size {
        /// The id.
        id: String,
        /// Number of the mask, from 1.
        mask: usize,
        /// Height and width of the mask.
        found: [usize; 2],
        /// Height and width of the picture.
        expected: [usize; 2],
    },
    /// A mask cannot be read.
    #[error("mask {mask} of id {id:?}: {reason}; give COCO run lengths as pycocotools writes them")]
    Mask {
        /// The id.
        id: String,
        /// Number of the mask, from 1.
        mask: usize,
        /// The fault.
        reason: String,
    },
    /// The benchmark needs a field that is not there.
    #[error("id {id:?} has no {field:?}, which {benchmark} needs")]
    Lacks {
        /// The id.
        id: String,
        /// The field.
        field: &'static str,
        /// The benchmark.
        benchmark: &'static str,
    },
    /// Pixels are to be ignored in a benchmark that ignores none.
    #[error("id {id:?} has pixels to ignore, but {benchmark} ignores none; leave \"ignore\" out")]
    IgnoresNone {
        /// The id.
        id: String,
        /// The benchmark.
        benchmark: &'static str,
    },
    /// A fold has more classes than the benchmark.
    #[error("id {id:?} brings fold {fold} to more than the {most} classes of {benchmark}")]
    Classes {
        /// The id.
        id: String,
        /// The fold.
        fold: usize,
        /// Classes that it may have.
        most: usize,
        /// The benchmark.
        benchmark: &'static str,
    },
    /// The picture of probabilities cannot be read.
    #[error("id {id:?}: cannot read the soft mask {path}: {reason}; give an 8-bit grey picture")]
    Soft {
        /// The id.
        id: String,
        /// The picture.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// Prediction and target do not go together.
    #[error("id {id:?}: {source}")]
    Metric {
        /// The id.
        id: String,
        /// The fault.
        source: metrics::Error,
    },
}

/// Result of reading such files.
pub type Result<T, E = Error> = std::result::Result<T, E>;
