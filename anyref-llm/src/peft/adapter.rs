//! Opened adapter folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyref_weights::hub::refuse_location;
use anyref_weights::{Checkpoint, LoadOptions, TensorEntry, load_module, renamed_tensors};
use burn::tensor::DType;
use burn::tensor::backend::Backend;

use super::config::PeftConfig;
use super::{CONFIG_FILE, WEIGHTS_FILES};
use crate::error::{Error, Result};
use crate::import::{PEFT, PEFT_UNUSED};
use crate::lora::LoraConfig;
use crate::model::Llama;

/// Matrices of one adapted projection.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[r, inputs]`
    pub a: TensorEntry,
    /// `[outputs, r]`
    pub b: TensorEntry,
}

/// Opened adapter folder, of which only names and shapes have been read.
#[derive(Debug, Clone)]
pub struct PeftAdapter {
    /// Configuration of the adapter.
    pub config: PeftConfig,
    folder: PathBuf,
    checkpoint: Checkpoint,
    projections: BTreeMap<String, LowRank>,
    saved: BTreeMap<String, TensorEntry>,
}

impl PeftAdapter {
    /// Opens a folder with `adapter_config.json` and `adapter_model.safetensors` or `.bin`.
    ///
    /// # Errors
    /// When a file is missing, damaged or uses unsupported features, or the two do not match.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        refuse_location(folder)?;
        let file = folder.join(CONFIG_FILE);
        let json = std::fs::read_to_string(&file).map_err(|source| Error::Adapter {
            path: file.clone(),
            problem: format!("{source}; an adapter folder has it beside its weights"),
        })?;
        let config = PeftConfig::from_json(&json, &file.display().to_string()).map_err(
            |error| match error {
                Error::Lora { .. } => Error::Adapter {
                    path: file,
                    problem: error.to_string(),
                },
                other => other,
            },
        )?;
        let weights = WEIGHTS_FILES.map(|name| folder.join(name));
        let Some(weights) = weights.iter().find(|path| path.exists()) else {
            return Err(Error::Adapter {
                path: folder.into(),
                problem: format!("no {}; download it", WEIGHTS_FILES.join(" and no ")),
            });
        };
        Self::new(folder, config, Checkpoint::open(weights)?)
    }

    fn new(folder: &Path, mut config: PeftConfig, checkpoint: Checkpoint) -> Result<Self> {
        let fail = |problem: String| {
            Err(Error::Adapter {
                path: folder.into(),
                problem,
            })
        };
        let mut halves: BTreeMap<String, [Option<TensorEntry>; 2]> = BTreeMap::new();
        let mut saved = BTreeMap::new();
        for (name, entry) in renamed_tensors(&checkpoint, &options())? {
            if entry.name.contains(".original_module.") {
                continue;
            }
            if let Some(target) = name.strip_suffix(".lora_a.weight") {
                halves.entry(target.into()).or_default()[0] = Some(entry.clone());
            } else if let Some(target) = name.strip_suffix(".lora_b.weight") {
                halves.entry(target.into()).or_default()[1] = Some(entry.clone());
            } else if name.contains("lora_") {
                return fail(format!(
                    "tensor `{}` is of a variant of LoRA that is not supported",
                    entry.name
                ));
            } else {
                saved.insert(name, entry.clone());
            }
        }
        let mut projections = BTreeMap::new();
        for (target, [a, b]) in halves {
            let (Some(a), Some(b)) = (a, b) else {
                return fail(format!("`{target}` has one half of its adapter only"));
            };
            let rank = config.lora.r;
            if a.shape.len() != 2 || b.shape.len() != 2 || a.shape[0] != rank || b.shape[1] != rank
            {
                return fail(format!(
                    "the adapter of `{target}` is {:?} and {:?}, not of the configured rank {rank}",
                    a.shape, b.shape
                ));
            }
            projections.insert(target, LowRank { a, b });
        }
        let LoraConfig { target_modules, .. } = &config.lora;
        if let Some(target) = projections
            .keys()
            .find(|path| !target_modules.is_empty() && config.lora.target_of(path).is_none())
        {
            return fail(format!(
                "`{target}` has an adapter that target_modules of {CONFIG_FILE} does not name"
            ));
        }
        if projections.is_empty() {
            return fail("no adapter of any projection in it".into());
        }
        // From here on names are complete: a pattern or a suffix may match more modules than were
        // adapted.
        config.lora.target_modules = projections.keys().cloned().collect();
        config.lora.validate()?;
        Ok(Self {
            config,
            folder: folder.into(),
            checkpoint,
            projections,
            saved,
        })
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Tensors of the adapter by their names in the file.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Adapted projections by their names in the model (`model.layers.0.self_attn.q_proj`).
    pub fn projections(&self) -> impl ExactSizeIterator<Item = (&str, &LowRank)> {
        self.projections
            .iter()
            .map(|(name, low_rank)| (name.as_str(), low_rank))
    }

    /// Adapter of one projection.
    pub fn projection(&self, name: &str) -> Option<&LowRank> {
        self.projections.get(name)
    }

    /// Modules that the folder holds whole (PEFT's `modules_to_save`), by their name in the trained
    /// model: `model.embed_tokens.weight`, `lm_head.weight`, and in a larger model others, such as
    /// AnyRef's `model.text_hidden_fcs.0.0.weight`.
    pub fn saved(&self) -> impl ExactSizeIterator<Item = (&str, &TensorEntry)> {
        self.saved
            .iter()
            .map(|(name, entry)| (name.as_str(), entry))
    }

    /// Options that match the adapter's tensors with the parameters of a model that carries the
    /// adapters.
    pub fn load_options(&self) -> LoadOptions {
        options()
    }

    /// Adds the adapters to a model and replaces the modules that the folder holds whole, which may
    /// enlarge embeddings and output head. `dtype` is the type of the loaded tensors; it defaults
    /// to the file's.
    ///
    /// # Errors
    /// When the adapter was made for another model or contains modules that a LLaMA lacks; the
    /// error names each.
    pub fn apply<B: Backend>(&self, model: Llama<B>, dtype: Option<DType>) -> Result<Llama<B>> {
        let mut model = model
            .with_lora(&self.config.lora)
            .map_err(|error| Error::Adapter {
                path: self.folder.clone(),
                problem: format!("does not fit the model ({error})"),
            })?;
        let rows = |name: &str| self.saved.get(name).and_then(|entry| entry.shape.first());
        let sizes = [rows("model.embed_tokens.weight"), rows("lm_head.weight")];
        let [known, _] = model.model.embed_tokens.weight.lazy_shape().dims::<2>();
        if let Some(&size) = sizes.into_iter().flatten().find(|&&size| size != known) {
            model = model.resize_vocabulary(size);
        }
        let options = options().with_cast(dtype).with_allow_missing("");
        load_module(&mut model, &self.checkpoint, &options)?;
        Ok(model)
    }
}

/// Options with the rename rules from the file to the model.
fn options() -> LoadOptions {
    LoadOptions::default()
        .with_renames(PEFT)
        .with_all_unused(PEFT_UNUSED)
}
