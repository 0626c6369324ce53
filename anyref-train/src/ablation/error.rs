//! Ablations that cannot be carried out.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::file_error::FileError;
use crate::run::RunError;

/// Result of an ablation.
pub type Result<T, E = AblationError> = std::result::Result<T, E>;

/// Failure of an ablation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AblationError {
    /// A run fails.
    #[error(transparent)]
    Run(Box<RunError>),
    /// A trained model cannot be read.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// A trained model cannot be asked.
    #[error(transparent)]
    Evaluation(Box<anyref_eval::Error>),
    /// A file cannot be replaced, or a location not be fetched.
    #[error(transparent)]
    Weights(#[from] anyref_weights::Error),
    /// A file or folder cannot be read or made.
    #[error(transparent)]
    File(#[from] FileError),
    /// Values cannot be put into words.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The base configuration cannot be read.
    #[error("`base`: cannot read {path}: {source}")]
    ReadBase {
        /// The file, as written.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The base configuration is not JSON.
    #[error("`base`: {path} is no JSON: {source}")]
    BaseJson {
        /// The file, as written.
        path: String,
        /// The reason.
        source: serde_json::Error,
    },
    /// The base is not a training configuration.
    #[error("{named} is no training configuration: {source}")]
    Base {
        /// The file, or the field.
        named: String,
        /// The reason.
        source: serde_json::Error,
    },
    /// The changes of a variant do not give a training configuration.
    #[error("variant {name:?} is no training configuration: check its `changes`: {source}")]
    Changes {
        /// Name of the variant.
        name: String,
        /// The reason.
        source: serde_json::Error,
    },
    /// There are no variants.
    #[error("the ablation has no `variants`")]
    NoVariants,
    /// There are no seeds.
    #[error("the ablation has no `seeds`")]
    NoSeeds,
    /// A seed is listed twice.
    #[error("a seed is listed twice in `seeds`")]
    SameSeed,
    /// The number of scenes to evaluate on is 0.
    #[error("`evaluation.scenes` is 0")]
    NoEvaluation,
    /// The name of a variant cannot name a folder.
    #[error("variant {name:?} cannot name a folder: use letters, digits, '-', '_' and '.'")]
    VariantName {
        /// Name of the variant.
        name: String,
    },
    /// Two variants would share a folder.
    #[error("there are two variants {name:?}")]
    SameVariant {
        /// Name of both.
        name: String,
    },
    /// A variant has no kind of questions.
    #[error("variant {name:?} is asked nothing: its `kinds` are none of the evaluation's")]
    NothingAsked {
        /// Name of the variant.
        name: String,
    },
    /// The configuration of a variant is invalid.
    #[error("variant {name:?}: {source}")]
    Variant {
        /// Name of the variant.
        name: String,
        /// The fault.
        source: Box<ConfigError>,
    },
    /// A run has not come to its end.
    #[error("{} was stopped", .run.display())]
    Stopped {
        /// Folder of the run.
        run: PathBuf,
    },
    /// The folder holds a run of another configuration.
    #[error("{} is of another configuration: delete that folder, or give another --run", .run.display())]
    OtherConfig {
        /// Folder of the run.
        run: PathBuf,
    },
    /// The numbers of a run cannot be understood.
    #[error("{} is damaged: delete it: {source}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
}

impl From<RunError> for AblationError {
    fn from(error: RunError) -> Self {
        Self::Run(Box::new(error))
    }
}

impl From<anyref_eval::Error> for AblationError {
    fn from(error: anyref_eval::Error) -> Self {
        Self::Evaluation(Box::new(error))
    }
}
