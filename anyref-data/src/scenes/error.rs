//! What can go wrong while a data set is opened.

use std::path::PathBuf;

/// Result of the data set functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Failure to open a data set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder does not hold the stamps of the catalogue.
    #[error(
        "{path} holds none of the catalogue's stamps; fetch them with `cargo xtask data stamps`"
    )]
    NoStamps {
        /// Folder that was searched.
        path: PathBuf,
    },
    /// A picture exists but cannot be decoded.
    #[error(
        "cannot decode {path}: {source}; fetch the stamps again with `cargo xtask data stamps`"
    )]
    Picture {
        /// File that failed.
        path: PathBuf,
        /// Reason given by the decoder.
        source: image::ImageError,
    },
    /// A sound exists but cannot be decoded.
    #[error(
        "cannot decode {path}: {reason}; fetch the stamps again with `cargo xtask data stamps`"
    )]
    Sound {
        /// File that failed.
        path: PathBuf,
        /// Reason given by the decoder.
        reason: String,
    },
    /// The background folder holds none of the expected pictures.
    #[error(
        "{path} holds none of the expected background pictures; leave it out to paint procedural ones"
    )]
    NoBackgrounds {
        /// Folder that was searched.
        path: PathBuf,
    },
    /// The built-in catalogue does not parse.
    #[error("the stamp catalogue is not valid: {0}")]
    Catalogue(#[from] serde_json::Error),
    /// The scene settings cannot be met.
    #[error("scene settings: {0}")]
    Config(String),
}
