//! Errors of this crate.

use std::path::PathBuf;

use anyref_ops::CacheType;
use burn::tensor::backend::ExecutionError;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Configuration is invalid or not supported.
    #[error("LLaMA config: `{field}` {reason}")]
    Config {
        /// Invalid field, named as in `config.json`.
        field: &'static str,
        /// Fault, and the valid form.
        reason: String,
    },
    /// LoRA configuration cannot be applied.
    #[error("LoRA config: `{field}` {reason}")]
    Lora {
        /// Invalid field, named as in `adapter_config.json`.
        field: String,
        /// Fault, and the valid form.
        reason: String,
    },
    /// Configuration file is not valid JSON of its type.
    #[error("{what}: {source}")]
    Json {
        /// File or kind of configuration.
        what: String,
        /// Error of the parser.
        source: serde_json::Error,
    },
    /// File cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// Tokenizer cannot be read, trained, or used.
    #[error("tokenizer {what}: {message}")]
    Tokenizer {
        /// File or operation.
        what: String,
        /// Message of the tokenizer library.
        message: String,
    },
    /// Chat template is unknown, damaged or does not terminate.
    #[error("chat template {what}: {problem}")]
    ChatTemplate {
        /// File or name of the template.
        what: String,
        /// Fault and remedy.
        problem: String,
    },
    /// Adapter folder cannot be read or does not fit the model.
    #[error("{}: {problem}", path.display())]
    Adapter {
        /// Folder, or a file in it.
        path: PathBuf,
        /// Fault and remedy.
        problem: String,
    },
    /// GGUF file does not contain a supported model.
    #[error("{}: {problem}", path.display())]
    Gguf {
        /// Path of the file.
        path: PathBuf,
        /// Fault and remedy.
        problem: String,
    },
    /// Checkpoint does not have the layout that its config describes.
    #[error("{}: {problem}", path.display())]
    Layout {
        /// File of the tensor.
        path: PathBuf,
        /// Fault and remedy.
        problem: String,
    },
    /// Quantisation rule cannot be applied.
    #[error("the rule `{rule}` of quantisation {reason}")]
    Quantization {
        /// Rule as given.
        rule: String,
        /// Fault, and the valid form.
        reason: String,
    },
    /// A type that keys and values of a model cannot be kept in.
    #[error(
        "a cache in {cache_type} needs heads of whole blocks of 32 values, the model's have \
         {head_width}: keep keys and values in f16"
    )]
    CacheType {
        /// The type.
        cache_type: CacheType,
        /// Values of a head.
        head_width: usize,
    },
    /// Device failed to compute or to be read.
    #[error("device: {0}")]
    Device(#[from] ExecutionError),
    /// Weights cannot be read or written.
    #[error(transparent)]
    Weights(#[from] anyref_weights::Error),
}

impl Error {
    /// Creates the error of a tokenizer `what` that fails with `message`, which may quote a hostile
    /// file.
    pub(crate) fn tokenizer(what: impl Into<String>, message: impl AsRef<str>) -> Self {
        Self::Tokenizer {
            what: what.into(),
            message: anyref_weights::one_line(message.as_ref()),
        }
    }
}
