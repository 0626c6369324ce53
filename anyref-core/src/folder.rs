//! Files of a model folder: weights, config, tokenizer.

use std::path::Path;

use anyref_llm::Tokenizer;
use anyref_weights::hub::refuse_location;
use anyref_weights::{Checkpoint, write_atomic};

use crate::{AnyRefConfig, Error, Result};

/// File name of the config.
pub const CONFIG_FILE: &str = "config.json";
/// File name of the tokenizer.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// File name of the weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Content of a model folder's files, for a model embedded in a program.
#[derive(Debug, Clone, Copy)]
pub struct ModelFiles<'a> {
    /// Content of [`CONFIG_FILE`].
    pub config: &'a [u8],
    /// Content of [`TOKENIZER_FILE`].
    pub tokenizer: &'a [u8],
    /// Content of [`WEIGHTS_FILE`].
    pub weights: &'static [u8],
}

/// Opened model, of which no values have been read.
#[derive(Debug)]
pub struct OpenedModel {
    /// Configuration of the model.
    pub config: AnyRefConfig,
    /// Tokenizer of the model.
    pub tokenizer: Tokenizer,
    /// Weights by the names of the model's parameters.
    pub checkpoint: Checkpoint,
}

impl AnyRefConfig {
    /// Reads the config of a model folder.
    ///
    /// # Errors
    /// When the config is missing or invalid, or the path is a location of the hub.
    pub fn of_folder(folder: &Path) -> Result<Self> {
        refuse_location(folder)?;
        let file = folder.join(CONFIG_FILE);
        let json = std::fs::read(&file).map_err(|e| {
            Error::folder(
                &file,
                format!("{e}; a model folder needs it beside its weights"),
            )
        })?;
        read_config(&file, &json)
    }
}

/// Writes the config of a model folder.
pub(crate) fn write_config(config: &AnyRefConfig, folder: &Path) -> Result<()> {
    let file = folder.join(CONFIG_FILE);
    let text =
        serde_json::to_string_pretty(config).map_err(|e| Error::folder(&file, e.to_string()))?;
    Ok(write_atomic(file, text + "\n")?)
}

pub(crate) fn read_config(file: &Path, json: &[u8]) -> Result<AnyRefConfig> {
    let config: AnyRefConfig = serde_json::from_slice(json)
        .map_err(|e| Error::folder(file, format!("not an AnyRef config ({e})")))?;
    config.validate()?;
    Ok(config)
}
