//! Loading and saving of whole models.

use std::path::Path;

use anyref_llm::Tokenizer;
use anyref_weights::{
    Checkpoint, LoadOptions, SaveOptions, WeightType, check_module, load_module, output_tensors,
    write_checkpoint,
};
use burn::tensor::{DType, backend::Backend};

use crate::companions::Companions;
use crate::folder::{
    CONFIG_FILE, ModelFiles, OpenedModel, TOKENIZER_FILE, WEIGHTS_FILE, read_config, write_config,
};
use crate::memory_check::check_memory;
use crate::model_place::ModelPlace;
use crate::quantization::LANGUAGE_MODEL;
use crate::{AnyRef, AnyRefConfig, AnyRefModel, Assembly, Error, ModelOptions, Result};

impl OpenedModel {
    /// Opens the weights of a model folder, of named parts, or of a model as its authors published
    /// it, with the parts that it does not carry itself.
    ///
    /// # Errors
    /// When a file is missing or damaged, or parts do not fit one another.
    pub fn open<B: Backend>(place: &ModelPlace, companions: &Companions) -> Result<Self> {
        match place {
            ModelPlace::Folder(folder) => Ok(Self {
                config: AnyRefConfig::of_folder(folder)?,
                tokenizer: Tokenizer::from_folder(folder)?,
                checkpoint: Checkpoint::open(folder)?,
            }),
            ModelPlace::Parts(file) => Assembly::read(file)?.open::<B>(file),
            ModelPlace::Sam(published) | ModelPlace::Published(published) => {
                Assembly::open_published::<B>(published, companions)
            }
        }
    }
}

impl<B: Backend> AnyRef<B> {
    /// Reads a model folder, a file that names published parts ([`Assembly::read`]), which are put
    /// together on the way, or the folder of a model as its authors published it
    /// ([`Assembly::of_published`]). Weights are converted to f32.
    ///
    /// # Errors
    /// When a file is missing or damaged, or config and weights do not belong together. When the
    /// path is a location of the hub, which [`resolve_model`](crate::resolve_model) resolves first.
    pub fn load(path: &Path, device: &B::Device) -> Result<Self> {
        Self::load_with(path, ModelOptions::new(WeightType::F32), device)
    }

    /// Loads as [`load`](Self::load) does, with weights as `options` say.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when the device does not compute with the type asked for.
    pub fn load_with(path: &Path, options: ModelOptions, device: &B::Device) -> Result<Self> {
        Self::load_beside(path, &Companions::default(), options, device)
    }

    /// Loads as [`load_with`](Self::load_with) does, with the parts that the model leaves to other
    /// repositories.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub fn load_beside(
        path: &Path,
        companions: &Companions,
        options: ModelOptions,
        device: &B::Device,
    ) -> Result<Self> {
        Self::load_opened(&ModelPlace::open(path)?, companions, options, device)
    }

    /// Loads an opened model, as [`load_beside`](Self::load_beside) does.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub fn load_opened(
        place: &ModelPlace,
        companions: &Companions,
        options: ModelOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let OpenedModel {
            config,
            tokenizer,
            checkpoint,
        } = OpenedModel::open::<B>(place, companions)?;
        Self::assemble(config, tokenizer, &checkpoint, options, device)
    }

    /// Opens the weights that [`load`](Self::load) reads, by the names of the model's parameters;
    /// no values are read.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn checkpoint(place: &ModelPlace, companions: &Companions) -> Result<Checkpoint> {
        Ok(OpenedModel::open::<B>(place, companions)?.checkpoint)
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
        let load_options = options.load_options::<B>(device)?;
        let mut model = config.init::<B>(device);
        if let Some(lora) = &config.lora {
            model.llm = model.llm.with_lora(lora)?;
        }
        model.llm = model.llm.with_cache_type(options.cache_type)?;
        check_memory(&config, &model, checkpoint, &options, device)?;
        load_weights(&mut model, checkpoint, &options, &load_options)?;
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
        let mut tensors = output_tensors(&self.model, &options);
        tensors.extend(self.model.llm.block_tensors(LANGUAGE_MODEL));
        tensors.extend(self.model.encoder_block_tensors());
        write_checkpoint(folder.join(WEIGHTS_FILE), tensors, &options)?;
        Ok(())
    }
}

/// Fills a model, its language model and picture encoders in blocks where the file or the options
/// say so.
fn load_weights<B: Backend>(
    model: &mut AnyRefModel<B>,
    checkpoint: &Checkpoint,
    options: &ModelOptions,
    load_options: &LoadOptions,
) -> Result<()> {
    let quantization = options.quantize.as_ref();
    let in_blocks = checkpoint.tensors().any(|t| t.block_type().is_some());
    let encoders = options.encoder_blocks();
    if encoders.audio.is_some() && model.audio_encoder.is_none() {
        let reason = "has no ImageBind whose matrices could be quantised; leave that out";
        return Err(Error::folder(checkpoint.path(), reason));
    }
    if quantization.is_none() && encoders.is_empty() && !in_blocks {
        load_module(model, checkpoint, load_options)?;
        return Ok(());
    }
    // Ahead of values, and with the names of the whole.
    let report = check_module(model, checkpoint, load_options)?;
    if !report.is_complete() {
        return Err(anyref_weights::Error::Mismatch(Box::new(report)).into());
    }
    let llm = &mut model.llm;
    let loaded = llm.load_blocks(checkpoint, LANGUAGE_MODEL, quantization)?;
    if let (Some(asked), true) = (quantization, loaded.fell_back > 0) {
        log::warn!(
            "{} weights have no rows of whole blocks of {}: they are Q8_0 or floats",
            loaded.fell_back,
            asked.block_type()
        );
    }
    let mut names = loaded.names;
    log::info!(
        "{} weights of the language model are in blocks",
        names.len()
    );
    let encoders = model.load_encoder_blocks(checkpoint, encoders)?;
    log::info!("{} weights of the encoders are in blocks", encoders.len());
    names.extend(encoders);
    load_module(model, &checkpoint.without(&names), load_options)?;
    Ok(())
}
