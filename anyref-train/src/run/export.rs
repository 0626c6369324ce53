//! Export of a checkpoint as a model folder or as adapters.

use std::path::{Path, PathBuf};

use anyref_core::{AnyRef, save_adapter};
use burn::module::AutodiffModule;
use burn::tensor::DType;
use burn::tensor::backend::AutodiffBackend;

use super::checkpoint;
use super::context::{Folders, RunContext, TOKENIZER};
use super::error::{Result, RunError};
use super::frozen_blocks;
use super::initial_weights::{InitialParameters, trained_names};
use crate::config::TrainConfig;
use crate::stages::StageContext;
use crate::trainee::Trainee;

/// Choice of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// Newest checkpoint.
    #[default]
    Newest,
    /// Checkpoint with the highest validation score of the last stage that was validated.
    Best,
}

/// Writes the model of a checkpoint as a model folder in half precision. Returns the checkpoint's
/// path.
///
/// # Errors
/// When the run has no such checkpoint, or a file of the model is missing, damaged or does not fit
/// the configuration. When a weight overflows half precision, or `out` cannot be written.
pub fn export_checkpoint<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    which: Which,
    out: &Path,
    device: &B::Device,
) -> Result<PathBuf> {
    let (path, trainee, context) = opened::<B>(config, folders, which, device)?;
    export(&trainee, context.stage(), out, device)?;
    Ok(path)
}

/// Writes only the trained weights of a checkpoint, as an adapter folder in PEFT's format. Returns
/// the checkpoint's path.
///
/// # Errors
/// When the run has no such checkpoint, or a file of the model is missing, damaged or does not fit
/// the configuration. When the model has no adapters, a trained weight has no place in an adapter
/// folder, or `out` cannot be written.
pub fn export_adapter<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    which: Which,
    out: &Path,
    device: &B::Device,
) -> Result<PathBuf> {
    let (path, trainee, context) = opened::<B>(config, folders, which, device)?;
    let Some(lora) = &context.stage().model.lora else {
        return Err(RunError::NoAdapters);
    };
    let reached = checkpoint::position(&path)?.stage;
    let stages = &config.stages[..=reached.min(config.stages.len() - 1)];
    let trained = trained_names(&trainee, stages)?
        .iter()
        .filter_map(|name| Some(name.strip_prefix("anyref.")?.to_owned()))
        .collect();
    let model = trainee.valid().anyref;
    save_adapter(&model, lora, &trained, out)?;
    context.stage().tokenizer.save(out.join(TOKENIZER))?;
    Ok(path)
}

/// Opens a checkpoint with its weights and the context of its run.
pub(super) fn opened<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    which: Which,
    device: &B::Device,
) -> Result<(PathBuf, Trainee<B>, RunContext)> {
    let (kept, remedy) = match which {
        Which::Newest => ("checkpoints", "train first"),
        Which::Best => ("best", "train until it is validated"),
    };
    let Some(path) = checkpoint::newest(&folders.run.join(kept))? else {
        let run = folders.run.clone();
        return Err(RunError::NoCheckpoint { run, remedy });
    };
    let context = RunContext::open::<B::InnerBackend>(config, folders)?;
    let trainee =
        Trainee::<B>::with_adapters(&context.stage().model, context.name_count(), device)?;
    let (trainee, _) = InitialParameters::restore(config, &path, trainee)?;
    let trainee = frozen_blocks::quantized(config, trainee);
    Ok((path, trainee, context))
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
