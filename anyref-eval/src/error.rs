//! Errors of an evaluation.

use std::io;
use std::path::{Path, PathBuf};

use anyref_data::datasets;

use super::{files, metrics};

/// Result of an evaluation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failure of an evaluation, on one line that names the file and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Predictions or targets are not as they should be.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// Answers cannot be compared with the truth.
    #[error(transparent)]
    Metric(#[from] metrics::Error),
    /// The data set cannot be read.
    #[error(transparent)]
    Data(#[from] datasets::Error),
    /// The model fails.
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
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A picture cannot be written.
    #[error("cannot write {path}: {source}")]
    WritePicture {
        /// The file.
        path: PathBuf,
        /// The encoder's reason.
        source: image::ImageError,
    },
    /// A folder cannot be made.
    #[error("cannot create {path}: {source}")]
    Create {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Files are missing where every item is to be asked about.
    #[error("give --limit to ask only where everything that is needed is there: {source}")]
    Incomplete {
        /// The missing files.
        source: datasets::Error,
    },
    /// An item cannot be asked about.
    #[error("{dataset} {id}: {source}")]
    Item {
        /// Name of the data set.
        dataset: String,
        /// The item.
        id: String,
        /// The reason.
        source: Box<Error>,
    },
    /// Every item lacks a file.
    #[error("{dataset}: each of the {count} items needs a file that is missing, such as {path}")]
    NoFiles {
        /// Name of the data set.
        dataset: String,
        /// Number of items.
        count: usize,
        /// The first file that is missing.
        path: PathBuf,
    },
    /// No item is of the kind asked for.
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
        /// The answers.
        path: PathBuf,
        /// One of the other questions.
        id: String,
    },
    /// A file in the folder is none of an evaluation's.
    #[error("{path} holds something other than answers with an `id`: give another --out")]
    NoAnswers {
        /// The file.
        path: PathBuf,
    },
    /// The folder holds an evaluation of another model or of other questions.
    #[error("{path} holds an evaluation of {begun}; this one is of {settings}: give another --out")]
    OtherSettings {
        /// The folder.
        path: PathBuf,
        /// Settings of the evaluation begun there.
        begun: String,
        /// Settings of this one.
        settings: String,
    },
    /// The folder holds answers of an unknown evaluation.
    #[error("{path} is there without the settings it was asked with: give another --out")]
    NoSettings {
        /// The answers.
        path: PathBuf,
    },
    /// A record of an evaluation that was begun is damaged.
    #[error("{path} line {line}: {reason}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The reason.
        reason: String,
    },
    /// An answer is to a question that its scene does not give.
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
        /// The target.
        id: String,
    },
}

impl Error {
    /// Whether it is about one question alone, as
    /// [`refuses_question`](anyref_core::Error::refuses_question) of the model's errors says.
    pub(crate) fn refuses_question(&self) -> bool {
        match self {
            Self::Model(error) | Self::Data(datasets::Error::Model(error)) => {
                error.refuses_question()
            }
            Self::Item { source, .. } => source.refuses_question(),
            _ => false,
        }
    }

    /// An [`Error::Read`] of a path.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    /// An [`Error::Write`] of a path.
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    /// An [`Error::Create`] of a path.
    pub(crate) fn create(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Create { path, source }
    }
}
