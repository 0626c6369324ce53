//! Checkpoints and initial weights that cannot be used.

use std::path::PathBuf;

use super::files::POSITION;
use crate::file_error::FileError;

/// Failure to write or read a checkpoint or initial weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file or folder cannot be read, written, renamed or deleted.
    #[error(transparent)]
    File(#[from] FileError),
    /// Weights cannot be read or written.
    #[error(transparent)]
    Weights(#[from] anyref_weights::Error),
    /// The model to start from cannot be opened.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// Weights of the language model in blocks cannot be read.
    #[error(transparent)]
    Language(#[from] anyref_llm::Error),
    /// The position of a run cannot be written as JSON or read from it.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Moments of the optimizer do not fit their shapes.
    #[error(transparent)]
    Moments(#[from] safetensors::SafeTensorError),
    /// The optimizer's file cannot be written.
    #[error("cannot write {}: {source}", .file.display())]
    WriteMoments {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: safetensors::SafeTensorError,
    },
    /// The position of a checkpoint cannot be understood.
    #[error("{} is damaged: delete this checkpoint: {source}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// A checkpoint has no position.
    #[error("{} has no {}: delete this folder", .path.display(), POSITION)]
    NoPosition {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The optimizer has other moments than the position says.
    #[error("{}: the optimizer's file and {} disagree: delete this checkpoint", .path.display(), POSITION)]
    OtherMoments {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A checkpoint lacks a parameter that the run does not have from its start either.
    #[error("{} has no {name}: it is of another model, or of a run with another `start`", .path.display())]
    Foreign {
        /// The checkpoint.
        path: PathBuf,
        /// The parameter.
        name: String,
    },
    /// The model to start from is not there.
    #[error("`start`: there is no model folder {}", .from.display())]
    NoStart {
        /// The folder.
        from: PathBuf,
    },
    /// The model to start from is of another kind.
    #[error("`start`: {} is not a model of this kind: {source}", .from.display())]
    OtherStart {
        /// The folder.
        from: PathBuf,
        /// The differences.
        source: Box<anyref_weights::Error>,
    },
    /// Initial weights are not there.
    #[error("`initial`: there is no {}: give a model folder or a checkpoint", .from.display())]
    NoInitial {
        /// The folder or file.
        from: PathBuf,
    },
    /// Initial weights lack a parameter of a part that is asked for.
    #[error("{} has no {name}, which `initial` asks for", .from.display())]
    InitialLacks {
        /// The folder or file.
        from: PathBuf,
        /// The parameter.
        name: String,
    },
    /// The model does not have a part that is asked for.
    #[error("`initial`: the model has no part {part:?}")]
    NoPart {
        /// Name of the part.
        part: String,
    },
}
