//! A model as a folder: weights, config, tokenizer.

use std::path::Path;

use anyref_llm::tokenizer::Tokenizer;
use anyref_weights::{Checkpoint, SaveOptions, WeightType, load_module, local_path, save_module};
use burn::tensor::{DType, backend::Backend};

use crate::{AnyRef, AnyRefConfig, Error, ModelOptions, Result};

/// The config's file name.
pub const CONFIG_FILE: &str = "config.json";
/// The tokenizer's file name.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The weights' file name.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// The content of a model folder's files, for a model that is part of a program.
#[derive(Debug, Clone, Copy)]
pub struct ModelFiles<'a> {
    /// Content of [`CONFIG_FILE`].
    pub config: &'a [u8],
    /// Content of [`TOKENIZER_FILE`].
    pub tokenizer: &'a [u8],
    /// Content of [`WEIGHTS_FILE`].
    pub weights: &'static [u8],
}

impl<B: Backend> AnyRef<B> {
    /// Reads a model folder, or an `hf://org/name` location ([`anyref_weights::hub`]); weights are converted
    /// to f32.
    ///
    /// # Errors
    /// When a file is missing or damaged, or config and weights do not belong together.
    pub fn load(folder: &Path, device: &B::Device) -> Result<Self> {
        Self::load_with(folder, ModelOptions::new(WeightType::F32), device)
    }

    /// As [`load`](Self::load), with weights as the options say.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when the device does not compute with the type asked for.
    pub fn load_with(folder: &Path, options: ModelOptions, device: &B::Device) -> Result<Self> {
        let folder = &*local_path(folder)?;
        if !folder.is_dir() {
            return Err(Error::folder(
                folder,
                "no such model folder; give one with config.json, tokenizer.json (or .model) and model.safetensors",
            ));
        }
        let config = AnyRefConfig::of_folder(folder)?;
        let tokenizer = Tokenizer::from_folder(folder)?;
        Self::assemble(
            config,
            tokenizer,
            &Checkpoint::open(folder)?,
            options,
            device,
        )
    }

    /// Reads a model from the content of its files.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub fn from_files(
        files: ModelFiles<'_>,
        options: ModelOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let config = read_config(Path::new(CONFIG_FILE), files.config)?;
        let tokenizer = Tokenizer::from_bytes(files.tokenizer)?;
        let checkpoint = Checkpoint::from_bytes(WEIGHTS_FILE, files.weights)?;
        Self::assemble(config, tokenizer, &checkpoint, options, device)
    }

    fn assemble(
        config: AnyRefConfig,
        tokenizer: Tokenizer,
        checkpoint: &Checkpoint,
        options: ModelOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let options = options.load_options::<B>(device)?;
        let mut model = config.init::<B>(device);
        if let Some(lora) = &config.lora {
            model.llm = model.llm.with_lora(lora)?;
        }
        load_module(&mut model, checkpoint, &options)?;
        Self::new(config, model, tokenizer, device.clone())
    }

    /// Writes a model folder, its weights as `dtype`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path, dtype: DType) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| Error::folder(folder, e.to_string()))?;
        write_config(&self.config, folder)?;
        self.tokenizer.save(folder.join(TOKENIZER_FILE))?;
        let options = SaveOptions::default().with_dtype(Some(dtype));
        save_module(&self.model, folder.join(WEIGHTS_FILE), &options)?;
        Ok(())
    }
}

impl AnyRefConfig {
    /// The config of a model folder.
    ///
    /// # Errors
    /// When there is none, or it is not one.
    pub fn of_folder(folder: &Path) -> Result<Self> {
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
    std::fs::write(&file, text + "\n").map_err(|e| Error::folder(&file, e.to_string()))
}

fn read_config(file: &Path, json: &[u8]) -> Result<AnyRefConfig> {
    let config: AnyRefConfig = serde_json::from_slice(json)
        .map_err(|e| Error::folder(file, format!("not an AnyRef config ({e})")))?;
    config.validate()?;
    Ok(config)
}
