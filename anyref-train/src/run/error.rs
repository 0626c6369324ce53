//! Runs that cannot start, go on or be exported.

use std::path::PathBuf;

use anyref_data::scenes;
use anyref_ops::DeviceFailure;
use burn::tensor::DType;

use super::checkpoint::CheckpointError;
use super::distributed::DistributedError;
use crate::config::{ConfigError, StageKind};
use crate::file_error::FileError;
use crate::stage_error::StageError;

/// Result of a run.
pub type Result<T, E = RunError> = std::result::Result<T, E>;

/// Failure of a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A batch, a loss or a validation fails.
    #[error(transparent)]
    Stage(Box<StageError>),
    /// A checkpoint or initial weights cannot be used.
    #[error(transparent)]
    Checkpoint(Box<CheckpointError>),
    /// Devices or machines do not work together.
    #[error(transparent)]
    Distributed(#[from] DistributedError),
    /// A thread of a device has failed.
    #[error(transparent)]
    Device(#[from] DeviceFailure),
    /// Scenes cannot be composed.
    #[error(transparent)]
    Scenes(#[from] scenes::Error),
    /// The model cannot be read or written.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// The tokenizer cannot be read, trained or written.
    #[error(transparent)]
    Language(#[from] anyref_llm::Error),
    /// A file cannot be replaced, or a location not be fetched.
    #[error(transparent)]
    Weights(#[from] anyref_weights::Error),
    /// A file or folder cannot be read, written or made.
    #[error(transparent)]
    File(#[from] FileError),
    /// Values cannot be put into words or read back.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A pattern of `learning_rate_scales` is no regular expression.
    #[error(transparent)]
    Pattern(#[from] regex::Error),
    /// The configuration in a run's folder cannot be understood.
    #[error("{} is damaged: {source}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// The run has another model or other scenes.
    #[error("{} was started with another `{field}`: give this run another folder", .run.display())]
    OtherField {
        /// Folder of the run.
        run: PathBuf,
        /// The field that differs.
        field: &'static str,
    },
    /// The run has other data sets.
    #[error("{} was started with other `data` in a stage: give this run another folder", .run.display())]
    OtherData {
        /// Folder of the run.
        run: PathBuf,
    },
    /// There are no devices.
    #[error("there is no device to run on")]
    NoDevice,
    /// A device does not compute in the requested type.
    #[error(
        "{device} does not compute in {dtype:?}: leave `precision` of stage {stage} out, or give another"
    )]
    Precision {
        /// The device's own name.
        device: String,
        /// The type.
        dtype: DType,
        /// The stage.
        stage: StageKind,
    },
    /// The thread that prepares batches is gone.
    #[error("the loader stopped")]
    LoaderStopped,
    /// Many steps in a row have no finite gradient.
    #[error(
        "{steps} steps in a row had no finite gradient: lower the learning rate of stage {stage:?}; the last checkpoint is kept"
    )]
    NoGradient {
        /// Number of the steps.
        steps: u32,
        /// The stage.
        stage: StageKind,
    },
    /// Features of an encoder are cached in a stage that trains the encoder.
    #[error(
        "stage {stage} trains {encoder}*, whose `features` cannot be kept: leave one of them out"
    )]
    TrainedFeatures {
        /// The stage.
        stage: StageKind,
        /// Path of the encoder's parameters.
        encoder: &'static str,
    },
    /// A stage needs scenes, which the run does not have.
    #[error("the run has no scenes: name data sets in every stage")]
    NoScenes,
    /// The run has no tokenizer.
    #[error("there is no tokenizer: give a model to `start` from")]
    NoTokenizer,
    /// An initial language model comes without its tokenizer.
    #[error("`initial`: {} has a language model and no tokenizer: put its tokenizer.json there", .from.display())]
    NoInitialTokenizer {
        /// The folder.
        from: PathBuf,
    },
    /// An adapter is to be exported, and the model has none.
    #[error("the model has no adapters (`model.lora`): export the whole model")]
    NoAdapters,
    /// The run has no checkpoint of the kind asked for.
    #[error("{} has no checkpoint: {remedy}", .run.display())]
    NoCheckpoint {
        /// Folder of the run.
        run: PathBuf,
        /// The way to one.
        remedy: &'static str,
    },
    /// The run has not reached a stage whose pictures could be drawn.
    #[error("{} has not come to a stage of instructions yet", .run.display())]
    NoInstructions {
        /// Folder of the run.
        run: PathBuf,
    },
    /// No picture can be drawn.
    #[error("the validation data have no masks to show")]
    NoPictures,
    /// Pictures cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    WritePictures {
        /// The file.
        path: PathBuf,
        /// The encoder's reason.
        source: image::ImageError,
    },
}

impl From<StageError> for RunError {
    fn from(error: StageError) -> Self {
        Self::Stage(Box::new(error))
    }
}

impl From<CheckpointError> for RunError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}
