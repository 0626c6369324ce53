//! A model as a folder: weights, config, tokenizer.

use std::path::Path;

use anyref_llm::tokenizer::Tokenizer;
use anyref_weights::{Checkpoint, LoadOptions, SaveOptions, load_module, save_module};
use burn::tensor::{DType, backend::Backend};

use crate::{AnyRef, AnyRefConfig, Error, Result};

/// The config's file name.
pub const CONFIG_FILE: &str = "config.json";
/// The tokenizer's file name.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The weights' file name.
pub const WEIGHTS_FILE: &str = "model.safetensors";

impl<B: Backend> AnyRef<B> {
    /// Reads a model folder; weights are converted to the backend's float type.
    ///
    /// # Errors
    /// When a file is missing or damaged, or config and weights do not belong together.
    pub fn load(folder: &Path, device: &B::Device) -> Result<Self> {
        if !folder.is_dir() {
            return Err(problem(folder, "no such model folder; give one that has config.json, tokenizer.json and model.safetensors"));
        }
        let config = read_config(&folder.join(CONFIG_FILE))?;
        let tokenizer = Tokenizer::from_file(folder.join(TOKENIZER_FILE))?;
        let checkpoint = Checkpoint::open(folder)?;
        let mut model = config.init::<B>(device);
        if let Some(lora) = &config.lora {
            model.llm = model.llm.with_lora(lora)?;
        }
        let dtype = <B::FloatElem as burn::tensor::Element>::dtype();
        load_module(&mut model, &checkpoint, &LoadOptions::default().with_cast(Some(dtype)))?;
        Self::new(config, model, tokenizer, device.clone())
    }

    /// Writes a model folder, its weights as `dtype`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path, dtype: DType) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| problem(folder, &e.to_string()))?;
        let file = folder.join(CONFIG_FILE);
        let text = serde_json::to_string_pretty(&self.config)
            .map_err(|e| problem(&file, &e.to_string()))?;
        std::fs::write(&file, text + "\n").map_err(|e| problem(&file, &e.to_string()))?;
        self.tokenizer.save(folder.join(TOKENIZER_FILE))?;
        let options = SaveOptions::default().with_dtype(Some(dtype));
        save_module(&self.model, folder.join(WEIGHTS_FILE), &options)?;
        Ok(())
    }
}

fn read_config(file: &Path) -> Result<AnyRefConfig> {
    let text = std::fs::read_to_string(file).map_err(|e| problem(file, &e.to_string()))?;
    let config: AnyRefConfig = serde_json::from_str(&text)
        .map_err(|e| problem(file, &format!("not an AnyRef config ({e})")))?;
    config.llm.validate()?;
    Ok(config)
}

fn problem(path: &Path, problem: &str) -> Error {
    Error::Folder { path: path.into(), problem: problem.into() }
}
