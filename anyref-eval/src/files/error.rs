//! Errors in files of predictions and targets.

use std::io;
use std::path::PathBuf;

use super::super::metrics;

/// Failure to read a file of predictions or targets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A line of the file is invalid.
    #[error("{path} line {line}: {fault}")]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Fault of the line.
        fault: Box<Fault>,
    },
    /// Answers that are scored together cannot be scored.
    #[error(transparent)]
    Scoring(metrics::Error),
    /// The file has no lines.
    #[error("{path} is empty: it should hold one JSON object a line")]
    Empty {
        /// Path of the file.
        path: PathBuf,
    },
    /// Predictions are missing.
    #[error(
        "{path}: no prediction for {count} of the targets, the first being id {id:?} of {targets} line {line}; where nothing is found, give \"masks\": []"
    )]
    Missing {
        /// Path of the predictions.
        path: PathBuf,
        /// Number of missing predictions.
        count: usize,
        /// Identifier of the first target without a prediction.
        id: String,
        /// Path of the targets.
        targets: PathBuf,
        /// Line of the target, from 1.
        line: usize,
    },
}

/// Fault of a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The line ends within the JSON.
    #[error("the line is cut off within its JSON; write the file again")]
    Truncated,
    /// The line is not JSON, or not of the expected form.
    #[error("{0}; give an object with \"id\" and what the benchmark needs")]
    Json(String),
    /// The identifier was given before.
    #[error("id {id:?} was given before, on line {first}; remove one of the two")]
    Duplicate {
        /// Repeated identifier.
        id: String,
        /// Line of its first occurrence.
        first: usize,
    },
    /// No target has the identifier.
    #[error(
        "id {id:?} is not one of {targets}; is this the benchmark and split of the predictions?"
    )]
    Unknown {
        /// Unknown identifier.
        id: String,
        /// Path of the targets.
        targets: PathBuf,
    },
    /// A mask has another size than the picture.
    #[error(
        "mask {mask} of id {id:?} is {}x{}, but the picture is {}x{} (height x width); bring it to the picture's size",
        found[0], found[1], expected[0], expected[1]
    )]
    Size {
        /// Identifier of the line.
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
        /// Identifier of the line.
        id: String,
        /// Number of the mask, from 1.
        mask: usize,
        /// Description of the fault.
        reason: String,
    },
    /// A field that the benchmark needs is missing.
    #[error("id {id:?} has no {field:?}, which {benchmark} needs")]
    Lacks {
        /// Identifier of the line.
        id: String,
        /// Name of the field.
        field: &'static str,
        /// Name of the benchmark.
        benchmark: &'static str,
    },
    /// A target has pixels to ignore, but the benchmark ignores none.
    #[error("id {id:?} has pixels to ignore, but {benchmark} ignores none; leave \"ignore\" out")]
    IgnoresNone {
        /// Identifier of the line.
        id: String,
        /// Name of the benchmark.
        benchmark: &'static str,
    },
    /// A fold has more classes than the benchmark allows.
    #[error("id {id:?} brings fold {fold} to more than the {most} classes of {benchmark}")]
    Classes {
        /// Identifier of the line.
        id: String,
        /// Number of the fold.
        fold: usize,
        /// Largest number of classes in a fold.
        most: usize,
        /// Name of the benchmark.
        benchmark: &'static str,
    },
    /// The picture of a soft mask cannot be read.
    #[error("id {id:?}: cannot read the soft mask {path}: {reason}; give an 8-bit grey picture")]
    Soft {
        /// Identifier of the line.
        id: String,
        /// Path of the picture.
        path: PathBuf,
        /// Description of the fault.
        reason: String,
    },
    /// A prediction and its target do not match.
    #[error("id {id:?}: {source}")]
    Metric {
        /// Identifier of the line.
        id: String,
        /// Error of the metric.
        source: metrics::Error,
    },
}

/// Result with an [`Error`] of such files.
pub type Result<T, E = Error> = std::result::Result<T, E>;
