//! Writing of an adapter folder.

use std::path::Path;

use anyref_weights::{OutputTensor, SaveOptions, output_tensors, write_atomic, write_checkpoint};
use burn::tensor::DType;
use burn::tensor::backend::Backend;

use super::config::PeftConfig;
use super::{CONFIG_FILE, WEIGHTS_FILES};
use crate::error::{Error, Result};
use crate::lora::LoraConfig;
use crate::model::Llama;

/// Prefix that PEFT adds to every name.
const PREFIX: &str = "base_model.model.";

/// Options of [`save_adapter`].
#[derive(Debug, Default)]
pub struct SaveAdapter {
    /// Names of modules to write whole: `embed_tokens`, `lm_head`.
    pub modules_to_save: Vec<String>,
    /// Further trained tensors, by their names in the model they belong to; their modules are named
    /// in [`modules_to_save`](Self::modules_to_save).
    pub extra: Vec<OutputTensor>,
    /// Model that the adapter was trained on.
    pub base_model: Option<String>,
    /// Task type, such as `CAUSAL_LM`.
    pub task_type: Option<String>,
    /// Type of the floats; `None` keeps the model's.
    pub dtype: Option<DType>,
}

/// Writes the adapters of a model, created with `config`, as a folder that peft reads.
///
/// # Errors
/// When the model has no adapter, a module to save is missing, or writing fails.
pub fn save_adapter<B: Backend>(
    model: &Llama<B>,
    config: &LoraConfig,
    folder: impl AsRef<Path>,
    options: SaveAdapter,
) -> Result<()> {
    let folder = folder.as_ref();
    let fail = |problem: String| {
        Err(Error::Adapter {
            path: folder.into(),
            problem,
        })
    };
    if !model.has_lora() {
        return fail("the model has no adapter to save".into());
    }
    let SaveAdapter {
        modules_to_save,
        extra,
        base_model,
        task_type,
        dtype,
    } = options;
    let is_saved = |name: &str| {
        modules_to_save
            .iter()
            .any(|module| module_of(name).is_some_and(|path| ends_with(path, module)))
    };
    let mut tensors: Vec<OutputTensor> =
        output_tensors(model, &SaveOptions::default().with_dtype(dtype))
            .into_iter()
            .filter(|tensor| tensor.name.contains(".lora_") || is_saved(&tensor.name))
            .chain(extra)
            .collect();
    for module in &modules_to_save {
        let mut names = tensors.iter().map(|tensor| tensor.name.as_str());
        // The name of a module with several tensors occurs within their names.
        if !names.any(|name| format!(".{name}").contains(&format!(".{module}."))) {
            return fail(format!("the model has no `{module}` to save"));
        }
    }
    for tensor in &mut tensors {
        let name = tensor
            .name
            .replace(".lora_a.", ".lora_A.")
            .replace(".lora_b.", ".lora_B.");
        tensor.name = format!("{PREFIX}{name}");
    }
    let config = PeftConfig {
        lora: config.clone(),
        modules_to_save,
        base_model,
        task_type,
    };
    std::fs::create_dir_all(folder).map_err(|source| Error::Io {
        path: folder.into(),
        source,
    })?;
    write_checkpoint(
        folder.join(WEIGHTS_FILES[0]),
        tensors,
        &SaveOptions::default(),
    )?;
    Ok(write_atomic(folder.join(CONFIG_FILE), config.to_json())?)
}

/// Module of a parameter.
fn module_of(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(module, _)| module)
}

/// Returns whether a module's path ends with a name, in whole segments.
fn ends_with(path: &str, name: &str) -> bool {
    path.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
