//! Errors of the readers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Result with an [`Error`] of the readers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failure to read a data set. Each message is one line that names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: {source}; check the path, or download the data set's part again", .path.display())]
    Io {
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A file does not have the format that its data set prescribes.
    #[error("{}: {reason}; download it from the data set's publisher again", .path.display())]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// Description of the fault.
        reason: String,
    },
    /// A line of a text file is wrong.
    #[error("{}:{line}: {reason}", .path.display())]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// Description of the fault, and the remedy.
        reason: String,
    },
    /// A pickle cannot be read.
    #[error(transparent)]
    Pickle(#[from] anyref_weights::Error),
    /// A picture or a mask cannot be decoded.
    #[error("{}: {reason}; download it again", .path.display())]
    Picture {
        /// Path of the file.
        path: PathBuf,
        /// Message of the decoder.
        reason: String,
    },
    /// A mask cannot be rasterised.
    #[error("{reason}; the annotation is damaged, download it again")]
    Mask {
        /// Description of the fault.
        reason: String,
    },
    /// A picture has another size than its annotations state.
    #[error(
        "{} has {}x{} pixels, and {}x{} by its annotations: download it again",
        .path.display(), .found[0], .found[1], .annotated[0], .annotated[1]
    )]
    PictureSize {
        /// Path of the picture.
        path: PathBuf,
        /// Width and height of the picture in pixels.
        found: [u32; 2],
        /// Width and height in the annotations.
        annotated: [u32; 2],
    },
    /// A picture or sound cannot be preprocessed for the model, or a region does not fit its
    /// picture.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// A mask has another size than its picture.
    #[error(
        "a mask of {}x{} does not fit its picture of {}x{}; masks and pictures must be of one version of the data set",
        .mask[0], .mask[1], .picture[0], .picture[1]
    )]
    Size {
        /// Width and height of the mask.
        mask: [u32; 2],
        /// Width and height of the picture.
        picture: [u32; 2],
    },
    /// The data set has no such split.
    #[error("{dataset} has no split `{split}`; it has {known}")]
    Split {
        /// Name of the data set.
        dataset: String,
        /// Split that was asked for.
        split: String,
        /// Existing splits, separated by commas.
        known: String,
    },
    /// The options cannot be met.
    #[error("{0}")]
    Options(String),
    /// The options' filters leave no item.
    #[error("{dataset} has no item for these options; check split, categories and area filters")]
    Nothing {
        /// Name of the data set.
        dataset: String,
    },
    /// Files that items need do not exist.
    #[error("{}", missing_line(.dataset, .files))]
    Missing {
        /// Name of the data set.
        dataset: String,
        /// Paths of all missing files.
        files: Vec<PathBuf>,
    },
    /// Several data sets lack files.
    #[error("{}", .0.iter().map(Error::to_string).collect::<Vec<_>>().join("; "))]
    SeveralMissing(
        /// An [`Error::Missing`] for each.
        Vec<Error>,
    ),
    /// An index is beyond the end.
    #[error("{dataset} has {len} items, so there is none at {index}")]
    Index {
        /// Name of the data set.
        dataset: String,
        /// Index that was asked for.
        index: usize,
        /// Number of items.
        len: usize,
    },
    /// An item is faulty.
    #[error("{dataset}, item {id}: {source}")]
    Item {
        /// Name of the data set.
        dataset: String,
        /// Identifier of the item.
        id: String,
        /// Fault of the item.
        source: Box<Error>,
    },
}

impl Error {
    /// Missing file, when the error is about one.
    pub fn missing_file(&self) -> Option<&Path> {
        match self {
            Self::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                Some(path)
            }
            Self::Item { source, .. } => source.missing_file(),
            _ => None,
        }
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn format(path: &Path, reason: impl ToString) -> Self {
        Self::Format {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn picture(path: &Path, reason: impl ToString) -> Self {
        Self::Picture {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn mask(reason: impl ToString) -> Self {
        Self::Mask {
            reason: reason.to_string(),
        }
    }

    /// Adds the item that the error is about.
    pub(super) fn of_item(self, dataset: &str, id: impl ToString) -> Self {
        Self::Item {
            dataset: dataset.to_owned(),
            id: id.to_string(),
            source: Box::new(self),
        }
    }
}

/// Largest number of files named in the message.
const SHOWN: usize = 5;

fn missing_line(dataset: &str, files: &[PathBuf]) -> String {
    let mut line = match files.len() {
        1 => format!("{dataset}: a file is missing:"),
        count => format!("{dataset}: {count} files are missing:"),
    };
    for file in files.iter().take(SHOWN) {
        let _ = write!(line, " {}", file.display());
    }
    if let Some(more @ 1..) = files.len().checked_sub(SHOWN) {
        let _ = write!(line, " and {more} more");
    }
    line + "; download what is missing, or correct the data set's folder"
}
