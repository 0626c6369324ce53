//! Errors of an evaluation.

use std::io;
use std::path::{Path, PathBuf};

use anyref_data::datasets;

use super::{files, metrics};

/// Result with an [`Error`] of an evaluation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failure of an evaluation, on one line that names the file and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Predictions or targets are invalid.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// Answers cannot be compared with the truth.
    #[error(transparent)]
    Metric(#[from] metrics::Error),
    /// The data set cannot be read.
    #[error(transparent)]
    Data(#[from] datasets::Error),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// A mask cannot be read or compared.
    #[error(transparent)]
    Mask(#[from] anyref_decoder::Error),
    /// A file cannot be replaced.
    #[error(transparent)]
    Replace(#[from] anyref_weights::Error),
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A picture cannot be written.
    #[error("cannot write {path}: {source}")]
    WritePicture {
        /// Path of the picture.
        path: PathBuf,
        /// Error of the encoder.
        source: image::ImageError,
    },
    /// A folder cannot be created.
    #[error("cannot create {path}: {source}")]
    Create {
        /// Path of the folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Files are missing though every item is to be asked about.
    #[error("{source}; or give --limit N to skip items with missing files")]
    Incomplete {
        /// List of the missing files.
        source: datasets::Error,
    },
    /// An item cannot be asked about.
    #[error("{dataset} {id}: {source}")]
    Item {
        /// Name of the data set.
        dataset: String,
        /// Identifier of the item.
        id: String,
        /// Reason of the failure.
        source: Box<Error>,
    },
    /// Every item lacks a file.
    #[error("{dataset}: each of the {count} items needs a file that is missing, such as {path}")]
    NoFiles {
        /// Name of the data set.
        dataset: String,
        /// Number of items.
        count: usize,
        /// First missing file.
        path: PathBuf,
    },
    /// No item has the kind asked for.
    #[error("{dataset} has no item {wanted}")]
    NoItem {
        /// Name of the data set.
        dataset: String,
        /// Kind of the items.
        wanted: &'static str,
    },
    /// The folder holds answers to other questions.
    #[error(
        "{path} answers other questions, such as {id}: give another --out, or the options it was begun with"
    )]
    OtherQuestions {
        /// Path of the answers.
        path: PathBuf,
        /// Identifier of one of the other questions.
        id: String,
    },
    /// A file in the folder was not written by an evaluation.
    #[error("{path} holds something other than answers with an `id`: give another --out")]
    NoAnswers {
        /// Path of the file.
        path: PathBuf,
    },
    /// The folder holds an evaluation of another model or of other questions.
    #[error("{path} holds an evaluation of {begun}; this one is of {settings}: give another --out")]
    OtherSettings {
        /// Path of the folder.
        path: PathBuf,
        /// Settings of the evaluation in the folder.
        begun: String,
        /// Settings of this evaluation.
        settings: String,
    },
    /// The folder holds answers of an unknown evaluation.
    #[error("{path} exists without the settings of its evaluation: give another --out")]
    NoSettings {
        /// Path of the answers.
        path: PathBuf,
    },
    /// A record of an earlier evaluation is damaged.
    #[error("{path} line {line}: {reason}")]
    Record {
        /// Path of the file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Description of the fault.
        reason: String,
    },
    /// An answer belongs to a question that its scene does not give.
    #[error("scene {scene} of {kind} has no question")]
    NoQuestion {
        /// Index of the scene.
        scene: u64,
        /// Kind of the question.
        kind: &'static str,
    },
    /// A target for a page names no picture.
    #[error("target {id} names no picture")]
    NoPicture {
        /// Identifier of the target.
        id: String,
    },
}

impl Error {
    /// Returns whether it concerns one question alone, as
    /// [`refuses_question`](anyref_core::Error::refuses_question) of the model's errors does.
    pub(crate) fn refuses_question(&self) -> bool {
        match self {
            Self::Model(error) | Self::Data(datasets::Error::Model(error)) => {
                error.refuses_question()
            }
            Self::Item { source, .. } => source.refuses_question(),
            _ => false,
        }
    }

    /// Builds an [`Error::Read`] for a path.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    /// Builds an [`Error::Write`] for a path.
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    /// Builds an [`Error::Create`] for a path.
    pub(crate) fn create(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Create { path, source }
    }
}
