//! Errors of composed scenes.

use std::path::PathBuf;

/// Result of the functions about scenes.
pub type Result<T> = std::result::Result<T, Error>;

/// Failure to open a library of cut-outs, or to write a demonstration.
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
    Catalogue(serde_json::Error),
    /// The scene settings cannot be met.
    #[error("scene settings: {0}")]
    Config(String),
    /// A folder for the demonstration cannot be made.
    #[error("cannot create {path}: {source}")]
    Create {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of the demonstration cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A picture of the demonstration cannot be written.
    #[error("cannot write {path}: {source}")]
    WritePicture {
        /// The file.
        path: PathBuf,
        /// Reason given by the encoder.
        source: image::ImageError,
    },
    /// A sound of the demonstration cannot be written.
    #[error(transparent)]
    WriteSound(#[from] anyref_audio::Error),
    /// A mask cannot be written as run lengths.
    #[error(transparent)]
    Mask(#[from] anyref_decoder::Error),
    /// No scene gives occasion for a demonstration.
    #[error("the scenes have no occasion for every kind of question; are there sounds?")]
    NoOccasion,
}
