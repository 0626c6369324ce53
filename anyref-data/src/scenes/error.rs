//! Errors of composed scenes.

use std::path::PathBuf;

/// Result with an [`Error`] of composed scenes.
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
        /// Path of the picture.
        path: PathBuf,
        /// Error of the decoder.
        source: image::ImageError,
    },
    /// A sound exists but cannot be decoded.
    #[error(
        "cannot decode {path}: {reason}; fetch the stamps again with `cargo xtask data stamps`"
    )]
    Sound {
        /// Path of the sound.
        path: PathBuf,
        /// Message of the decoder.
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
    /// A folder for the demonstration cannot be created.
    #[error("cannot create {path}: {source}")]
    Create {
        /// Path of the folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A file of the demonstration cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A picture of the demonstration cannot be written.
    #[error("cannot write {path}: {source}")]
    WritePicture {
        /// Path of the picture.
        path: PathBuf,
        /// Error of the encoder.
        source: image::ImageError,
    },
    /// A sound of the demonstration cannot be written.
    #[error(transparent)]
    WriteSound(#[from] anyref_audio::Error),
    /// A mask cannot be written as run lengths.
    #[error(transparent)]
    Mask(#[from] anyref_decoder::Error),
    /// No scene allows a question of every kind.
    #[error("no scene allows a question of every kind; do the stamps have sounds?")]
    NoOccasion,
}
