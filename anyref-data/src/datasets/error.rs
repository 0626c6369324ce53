//! Errors of the readers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Result of the readers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failure to read a data set. Each message is one line that names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: {source}; check the path, or download the data set's part again", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not what its data set has there.
    #[error("{}: {reason}; download it from the data set's publisher again", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// A line of a file of lines is wrong.
    #[error("{}:{line}: {reason}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The fault, and the remedy.
        reason: String,
    },
    /// A pickle cannot be read.
    #[error(transparent)]
    Pickle(#[from] anyref_weights::Error),
    /// A picture or a mask cannot be decoded.
    #[error("{}: {reason}; download it again", .path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        reason: String,
    },
    /// A mask cannot be rasterised.
    #[error("{reason}; the annotation is damaged, download it again")]
    Mask {
        /// The fault.
        reason: String,
    },
    /// A picture is of another size than its annotations say.
    #[error(
        "{} has {}x{} pixels, and {}x{} by its annotations: download it again",
        .path.display(), .found[0], .found[1], .annotated[0], .annotated[1]
    )]
    PictureSize {
        /// The picture.
        path: PathBuf,
        /// Width and height that it has.
        found: [u32; 2],
        /// Width and height by its annotations.
        annotated: [u32; 2],
    },
    /// A picture or sound cannot be read as a model takes it, or a region does not fit its picture.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// A mask is of another size than its picture.
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
    /// There is no such part of the data set.
    #[error("{dataset} has no split `{split}`; it has {known}")]
    Split {
        /// Name of the data set.
        dataset: String,
        /// Split asked for.
        split: String,
        /// Splits that are there, separated by commas.
        known: String,
    },
    /// Options that cannot be met.
    #[error("{0}")]
    Options(String),
    /// Nothing is left after the options' filters.
    #[error("{dataset} has no item for these options; check split, categories and area filters")]
    Nothing {
        /// Name of the data set.
        dataset: String,
    },
    /// Files that items need are not there.
    #[error("{}", missing_line(.dataset, .files))]
    Missing {
        /// Name of the data set.
        dataset: String,
        /// All of them.
        files: Vec<PathBuf>,
    },
    /// Several data sets lack files.
    #[error("{}", .0.iter().map(Error::to_string).collect::<Vec<_>>().join("; "))]
    SeveralMissing(
        /// An [`Error::Missing`] for each.
        Vec<Error>,
    ),
    /// An index beyond the end.
    #[error("{dataset} has {len} items, so there is none at {index}")]
    Index {
        /// Name of the data set.
        dataset: String,
        /// Index asked for.
        index: usize,
        /// Number of items.
        len: usize,
    },
    /// A fault of one item.
    #[error("{dataset}, item {id}: {source}")]
    Item {
        /// Name of the data set.
        dataset: String,
        /// The item.
        id: String,
        /// The fault.
        source: Box<Error>,
    },
}

impl Error {
    /// The file that is missing, where that is what is wrong.
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

    /// Says of which item it is.
    pub(super) fn of_item(self, dataset: &str, id: impl ToString) -> Self {
        Self::Item {
            dataset: dataset.to_owned(),
            id: id.to_string(),
            source: Box::new(self),
        }
    }
}

/// Files named in the message.
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
