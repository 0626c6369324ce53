//! What a run has learned, as a model folder or as adapters.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use anyref_core::{AnyRef, save_adapter};
use burn::module::AutodiffModule;
use burn::tensor::DType;
use burn::tensor::backend::AutodiffBackend;

use super::checkpoint;
use super::config::TrainConfig;
use super::initial_weights::{Given, names_of_trained};
use super::launch::{Folders, Shared, TOKENIZER, fresh};
use crate::stages::StageContext;
use crate::trainee::Trainee;

/// Which checkpoint of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// The newest.
    #[default]
    Newest,
    /// That with the highest validation score, of the last stage that was validated.
    Best,
}

/// Writes the model of a checkpoint as a model folder, in half precision. Returns the checkpoint.
///
/// # Errors
/// When the run has no such checkpoint, or this or what else the model is made of is missing, damaged or does not fit the
/// configuration. When a weight does not fit half precision, or `out` cannot be written.
pub fn export_checkpoint<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    which: Which,
    out: &Path,
    device: &B::Device,
) -> Result<PathBuf> {
    let (path, trainee, shared) = opened::<B>(config, folders, which, device)?;
    export(&trainee, shared.stage(), out, device)?;
    Ok(path)
}

/// Writes what a checkpoint has that was trained, and nothing else, as an adapter folder in PEFT's format. Returns
/// the checkpoint.
///
/// # Errors
/// When the run has no such checkpoint, or this or what else the model is made of is missing, damaged or does not fit the
/// configuration. When the model has no adapters, something was trained that their folder has no place for, or `out`
/// cannot be written.
pub fn export_adapter<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    which: Which,
    out: &Path,
    device: &B::Device,
) -> Result<PathBuf> {
    let (path, trainee, shared) = opened::<B>(config, folders, which, device)?;
    let Some(lora) = &shared.stage().model.lora else {
        bail!("the model has no adapters (`model.lora`): export the whole model");
    };
    let reached = checkpoint::position(&path)?.stage;
    let stages = &config.stages[..=reached.min(config.stages.len() - 1)];
    let trained = names_of_trained(&trainee, stages)?
        .iter()
        .filter_map(|name| Some(name.strip_prefix("anyref.")?.to_owned()))
        .collect();
    let model = trainee.valid().anyref;
    save_adapter(&model, lora, &trained, out)?;
    shared.stage().tokenizer.save(out.join(TOKENIZER))?;
    Ok(path)
}

/// A checkpoint, and what is in it.
pub(super) fn opened<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    which: Which,
    device: &B::Device,
) -> Result<(PathBuf, Trainee<B>, Shared)> {
    let (kept, remedy) = match which {
        Which::Newest => ("checkpoints", "train first"),
        Which::Best => ("best", "train until it is validated"),
    };
    let Some(path) = checkpoint::newest(&folders.run.join(kept))? else {
        bail!("{} has no checkpoint: {remedy}", folders.run.display());
    };
    let shared = Shared::open(config, folders)?;
    let trainee = fresh::<B>(&shared.stage().model, shared.name_count(), device)?;
    let (trainee, _) = Given::restore(config, &path, trainee)?;
    Ok((path, trainee, shared))
}

/// Writes a model folder, in half precision.
pub(super) fn export<B: AutodiffBackend>(
    trainee: &Trainee<B>,
    context: &StageContext,
    out: &Path,
    device: &B::Device,
) -> Result<()> {
    let (config, tokenizer) = (context.model.clone(), context.tokenizer.clone());
    let model = trainee.valid().anyref;
    let anyref = AnyRef::<B::InnerBackend>::new(config, model, tokenizer, device.clone())?;
    anyref.save(out, DType::F16)?;
    Ok(())
}
