//! Files and folders that the system does not give.

use std::io;
use std::path::{Path, PathBuf};

/// Failure to read, write or make a file or folder.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", .path.display())]
pub struct FileError {
    /// Verb of what cannot be done.
    pub action: &'static str,
    /// Path of the file or folder.
    pub path: PathBuf,
    /// Reason given by the system.
    pub source: io::Error,
}

impl FileError {
    /// The error of an action on a file or folder, for `map_err`.
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            action,
            path: path.into(),
            source,
        }
    }
}
