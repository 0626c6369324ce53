//! Writing or opening the model that an [`Assembly`] describes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyref_llm::Tokenizer;
use anyref_weights::hub::cached_name;
use anyref_weights::{Checkpoint, SaveOptions, write_checkpoint};
use burn::tensor::backend::Backend;

use super::assembly::Assembly;
use super::opened_parts::OpenedParts;
use super::parts_file::PARTS_FILE;
use super::plan::{self, Plan};
use super::tokenizer;
use crate::companions::Companions;
use crate::folder::{OpenedModel, WEIGHTS_FILE, write_config};
use crate::official::Published;
use crate::{AnyRefConfig, Error, Result};

/// Report of [`Assembly::write`].
#[derive(Debug, Clone)]
pub struct Assembled {
    /// Config of the model.
    pub config: AnyRefConfig,
    /// Number of tensors.
    pub tensors: usize,
    /// Size of the tensors in bytes.
    pub bytes: u64,
    /// Parameters that no part has, newly drawn.
    pub fresh: Vec<String>,
    /// Number of rows added to the language model's vocabulary, newly drawn.
    pub new_tokens: usize,
    /// Projections that an adapter was folded into.
    pub merged: usize,
    /// Tensors in blocks.
    pub in_blocks: usize,
    /// Weights with rows of no whole blocks of the format asked for: in `Q8_0` or floats.
    pub fell_back: Vec<String>,
    /// Path of the weights, or of their index.
    pub weights: PathBuf,
}

impl Assembly {
    /// Writes the model folder `out`, which must not hold a model yet.
    ///
    /// Parameters that no part has are drawn as in the reference: projections as in torch's
    /// `Linear`, rows of new tokens from `normal(0, initializer_range)`. The backend computes
    /// nothing; it only holds the modules that the parts are compared with.
    ///
    /// # Errors
    /// When a part is missing, damaged, of another kind or not supported; when parts do not fit one
    /// another, naming every tensor; when the folder cannot be written.
    pub fn write<B: Backend>(&self, out: &Path) -> Result<Assembled> {
        let Planned {
            config,
            tokenizer,
            plan,
        } = self.planned::<B>(&OpenedParts::open(self)?, out.file_name())?;
        prepare(out)?;
        let (tensors, bytes) = (
            plan.tensors.len(),
            plan.tensors.iter().map(|tensor| tensor.bytes()).sum(),
        );
        let in_blocks = plan.tensors.iter().filter(|t| t.block_type().is_some());
        let in_blocks = in_blocks.count();
        let options = SaveOptions::default().with_max_shard_bytes(self.max_shard_bytes);
        let weights = write_checkpoint(out.join(WEIGHTS_FILE), plan.tensors, &options)?;
        tokenizer.save(out.join(crate::TOKENIZER_FILE))?;
        // Last, since a folder without it is no model.
        write_config(&config, out)?;
        Ok(Assembled {
            new_tokens: plan.new_tokens,
            config,
            tensors,
            bytes,
            fresh: plan.fresh,
            merged: plan.merged,
            in_blocks,
            fell_back: plan.fell_back,
            weights,
        })
    }
}

/// A model that is neither written nor loaded yet.
struct Planned {
    config: AnyRefConfig,
    tokenizer: Tokenizer,
    plan: Plan,
}

impl Assembly {
    /// Compares the parts, and finds the source of every parameter.
    fn planned<B: Backend>(&self, parts: &OpenedParts, name: Option<&OsStr>) -> Result<Planned> {
        let device = B::Device::default();
        let parts = match parts {
            OpenedParts::Separate(parts) => parts,
            OpenedParts::Sa2va(sa2va) => {
                let config = sa2va.config(name)?;
                sa2va.check::<B>(&device)?;
                let tokenizer = sa2va.tokenizer(&config.prompts)?;
                let plan = sa2va.plan::<B>(&config, self, &device)?;
                return Ok(Planned {
                    config,
                    tokenizer,
                    plan,
                });
            }
        };
        let mut config = parts.config(name)?;
        parts.check::<B>(&config, &device)?;
        let tokenizer = tokenizer::tokenizer(parts, &config.prompts)?;
        let known = config.llm.vocab_size;
        config.llm.vocab_size = parts.vocabulary(known, tokenizer.vocab_size())?;
        let plan = plan::plan(parts, &config, &config.init::<B>(&device), self)?;
        Ok(Planned {
            config,
            tokenizer,
            plan,
        })
    }

    /// Opens the model that the parts file at `path` names, as [`write`](Self::write) would write
    /// it.
    pub(crate) fn open<B: Backend>(&self, path: &Path) -> Result<OpenedModel> {
        self.opened::<B>(&OpenedParts::open(self)?, path)
    }

    /// Opens a model in its authors' layout, whose files are opened, as [`write`](Self::write)
    /// would write it.
    ///
    /// # Errors
    /// As [`of_published`](Self::of_published), and when a part is missing that no companion
    /// brings, or parts do not fit one another.
    pub(crate) fn open_published<B: Backend>(
        published: &Published,
        companions: &Companions,
    ) -> Result<OpenedModel> {
        let assembly = Self::of_published(published, companions)?;
        let parts = OpenedParts::open_beside(published.clone(), &assembly)?;
        assembly.opened::<B>(&parts, &published.path)
    }

    /// The model of opened parts, named after its path.
    fn opened<B: Backend>(&self, parts: &OpenedParts, path: &Path) -> Result<OpenedModel> {
        let name = match (path.file_name(), path.parent()) {
            (Some(name), Some(folder)) if name == PARTS_FILE => {
                cached_name(folder).map(OsStr::new).or(folder.file_name())
            }
            (name, _) if path.is_dir() => cached_name(path).map(OsStr::new).or(name),
            _ => path.file_stem(),
        };
        let planned = self.planned::<B>(parts, name)?;
        Ok(OpenedModel {
            config: planned.config,
            tokenizer: planned.tokenizer,
            checkpoint: Checkpoint::of_tensors(path, planned.plan.tensors)?,
        })
    }
}

/// Makes the folder, and sees to it that no older weights are in it, which would be read instead.
fn prepare(out: &Path) -> Result<()> {
    let io =
        |e: std::io::Error| Error::folder(out, format!("{e}; check permissions and disk space"));
    std::fs::create_dir_all(out).map_err(io)?;
    for entry in std::fs::read_dir(out).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        let ends = [".safetensors", ".bin", ".pt", ".pth", ".index.json"];
        if ends.iter().any(|end| name.ends_with(end)) {
            return Err(Error::folder(
                out,
                format!("already holds `{name}`; give a new folder"),
            ));
        }
    }
    Ok(())
}
