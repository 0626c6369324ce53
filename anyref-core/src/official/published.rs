//! A published file or folder, opened.

use std::path::{Path, PathBuf};

use anyref_llm::hugging_face_checkpoint;
use anyref_llm::peft::{CONFIG_FILE as ADAPTER_CONFIG, PeftAdapter};
use anyref_weights::hub::refuse_location;
use anyref_weights::{Checkpoint, GgufMetadata};

use super::config_file::{ConfigFile, PACKED_REMEDY};
use super::kind::Kind;
use crate::{Error, Result};

/// `model_type` of a Sa2VA's config.
pub(super) const SA2VA: &str = "sa2va_chat";

/// Opened checkpoint of a known or unknown kind, with the `config.json` beside it. No values are
/// read.
#[derive(Debug, Clone)]
pub struct Published {
    /// Path that was opened.
    pub path: PathBuf,
    /// Kind of the checkpoint, if known.
    pub kind: Option<Kind>,
    /// Tensors.
    pub checkpoint: Checkpoint,
    config: Option<ConfigFile>,
}

impl Published {
    /// Opens a weights file, an index or a folder. The language model of a GGUF file has the names
    /// of Hugging Face's; its matrices in blocks stay so.
    ///
    /// # Errors
    /// When it is missing or damaged, its weights are packed as AWQ or GPTQ pack them, or the path
    /// is a location of the hub.
    pub fn open(path: &Path) -> Result<Self> {
        refuse_location(path)?;
        if GgufMetadata::is_gguf(path) {
            let (llm, checkpoint) = hugging_face_checkpoint(path)?;
            return Ok(Self {
                path: path.into(),
                kind: Kind::of(&checkpoint),
                config: Some(ConfigFile::of_llama(path, &llm)?),
                checkpoint,
            });
        }
        let checkpoint = if path.join(ADAPTER_CONFIG).is_file() {
            PeftAdapter::open(path)?.checkpoint().clone()
        } else {
            Checkpoint::open(path)?
        };
        let config = match config_path(path) {
            Some(path) => ConfigFile::read(path)?,
            None => None,
        };
        if let Some(config) = &config {
            config.refuse_packed_weights()?;
        }
        refuse_packed_tensors(path, &checkpoint)?;
        Ok(Self {
            path: path.into(),
            kind: Kind::of(&checkpoint),
            checkpoint,
            config,
        })
    }

    /// Opens a part of which only some kinds will do.
    pub(crate) fn open_as(
        path: &Path,
        what: &str,
        suits: impl FnOnce(Kind) -> bool,
    ) -> Result<Self> {
        let published = Self::open(path)?;
        match published.kind {
            Some(kind) if suits(kind) => Ok(published),
            Some(kind) => Err(Error::folder(
                path,
                format!("holds {kind}, not {what}; give the one in its place"),
            )),
            None => Err(Error::folder(
                path,
                format!("holds no {what} in a known layout; `anyref info` lists its tensors"),
            )),
        }
    }

    /// The `config.json` beside the weights.
    pub(crate) fn config(&self) -> Option<&ConfigFile> {
        self.config.as_ref()
    }

    /// Returns whether a LLaVA contains its picture encoder.
    pub(crate) fn has_tower(&self) -> bool {
        let name = "embeddings.patch_embedding.weight";
        self.checkpoint
            .tensors()
            .any(|tensor| tensor.name.contains("vision_tower.") && tensor.name.ends_with(name))
    }

    /// The folder of the weights.
    pub(crate) fn folder(&self) -> &Path {
        if self.path.is_dir() {
            return &self.path;
        }
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// Refuses weights of four bits or less as AWQ and GPTQ pack them, by their names: a config that
/// tells them may be missing.
fn refuse_packed_tensors(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let packed = checkpoint.tensors().find_map(|tensor| {
        let layer = tensor.name.strip_suffix(".qweight")?;
        let beside = |end: &str| checkpoint.get(&format!("{layer}.{end}")).is_some();
        (beside("qzeros") || beside("scales")).then_some(&tensor.name)
    });
    match packed {
        None => Ok(()),
        Some(name) => {
            let problem = format!("has packed weights of AWQ or GPTQ (`{name}`), {PACKED_REMEDY}");
            Err(Error::folder(path, problem))
        }
    }
}

/// Returns whether a path is a model in another layout than this project's: a folder whose
/// `config.json` names a `model_type`. An unreadable config is left to its reader to reject.
///
/// # Errors
/// When the path is a location of the hub.
pub(crate) fn is_published(path: &Path) -> Result<bool> {
    refuse_location(path)?;
    Ok(model_type(path).is_some())
}

/// Whether a path is the folder of a Sa2VA of any form, by its config.
pub(crate) fn is_sa2va(path: &Path) -> bool {
    model_type(path).is_some_and(|model_type| model_type == SA2VA)
}

/// The `model_type` of a folder's config, where it can be read.
fn model_type(path: &Path) -> Option<String> {
    let config = match path.is_dir() {
        true => ConfigFile::read(path.join("config.json")).unwrap_or_default(),
        false => None,
    };
    Some(config?.root().text("model_type")?.to_owned())
}

/// Path of a checkpoint's config: in its folder, or beside a file with a name that only whole
/// folders use.
fn config_path(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.join("config.json"));
    }
    let name = path.file_name()?.to_string_lossy();
    let whole = name.starts_with("model") || name.starts_with("pytorch_model");
    whole.then(|| path.with_file_name("config.json"))
}
