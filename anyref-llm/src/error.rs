//! Errors of this crate.

use std::path::PathBuf;

use anyref_ops::CacheType;
use burn::tensor::backend::ExecutionError;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that no model can have, or one that is not supported.
    #[error("LLaMA config: `{field}` {reason}")]
    Config {
        /// The field at fault, named as in `config.json`.
        field: &'static str,
        /// The fault, and the right form.
        reason: String,
    },
    /// A LoRA configuration that cannot be applied.
    #[error("LoRA config: `{field}` {reason}")]
    Lora {
        /// The field at fault, named as in `adapter_config.json`.
        field: String,
        /// The fault, and the right form.
        reason: String,
    },
    /// A configuration file that is not valid JSON for its type.
    #[error("{what}: {source}")]
    Json {
        /// The file or the kind of configuration.
        what: String,
        /// The parser's message.
        source: serde_json::Error,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's message.
        source: std::io::Error,
    },
    /// A tokenizer that cannot be read, trained, or used.
    #[error("tokenizer {what}: {message}")]
    Tokenizer {
        /// The file, or the operation.
        what: String,
        /// The tokenizer library's message.
        message: String,
    },
    /// A chat template that is unknown, damaged or does not end.
    #[error("chat template {what}: {problem}")]
    ChatTemplate {
        /// The file, or the name.
        what: String,
        /// The fault and the remedy.
        problem: String,
    },
    /// An adapter folder that cannot be read or does not fit the model.
    #[error("{}: {problem}", path.display())]
    Adapter {
        /// The folder or a file in it.
        path: PathBuf,
        /// The fault and the remedy.
        problem: String,
    },
    /// A GGUF file that is no model of a supported kind.
    #[error("{}: {problem}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Problem and remedy.
        problem: String,
    },
    /// A rule by which weights are quantised that cannot be followed.
    #[error("the rule `{rule}` of quantisation {reason}")]
    Quantization {
        /// The rule.
        rule: String,
        /// The fault, and the right form.
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
    /// A device that failed to compute or to be read.
    #[error("device: {0}")]
    Device(#[from] ExecutionError),
    /// Weights that cannot be read or written.
    #[error(transparent)]
    Weights(#[from] anyref_weights::Error),
}

impl Error {
    /// Tokenizer `what` that fails with `message`, which may quote a hostile file.
    pub(crate) fn tokenizer(what: impl Into<String>, message: impl AsRef<str>) -> Self {
        Self::Tokenizer {
            what: what.into(),
            message: anyref_weights::one_line(message.as_ref()),
        }
    }
}
