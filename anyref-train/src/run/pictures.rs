//! How far a run has come, in pictures.

use std::path::Path;

use anyhow::{Context, Result, bail};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;

use super::checkpoint;
use super::config::{StageKind, TrainConfig};
use super::export::{Which, opened};
use super::launch::Folders;
use crate::stages::{DataSources, InstructStage};
use anyref_eval::contact_sheet;

/// Pairs a row.
const COLUMNS: u32 = 3;

/// Draws up to `count` validation pictures of the last stage of instructions that the run has reached: what is asked for
/// in green, and beside it in red what its newest checkpoint points at. Returns how many.
///
/// # Errors
/// When the run has no checkpoint, or has not reached such a stage.
pub fn draw_validation<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    count: usize,
    out: &Path,
    device: &B::Device,
) -> Result<usize> {
    let (path, trainee, shared) = opened::<B>(config, folders, Which::Newest, device)?;
    let at = checkpoint::position(&path)?;
    let mut reached = config.stages.iter().take(at.stage + 1);
    let Some(stage) = reached.rfind(|stage| stage.kind == StageKind::Instruct) else {
        bail!(
            "{} has not come to a stage of instructions yet",
            folders.run.display()
        );
    };
    let trainee = trainee.valid();
    let pictures = match &stage.data {
        None => {
            let stage = InstructStage::new(shared.scenes()?, stage.clone())?;
            stage.validation_pictures(&trainee, count)?
        }
        Some(data) => {
            let sources = DataSources::open(data, config.seed)?;
            let stage = InstructStage::with_data(shared.stage(), &sources, stage.clone());
            stage.validation_pictures(&trainee, count)?
        }
    };
    if pictures.is_empty() {
        bail!("the validation data have no masks to show");
    }
    contact_sheet(&pictures, COLUMNS)
        .save(out)
        .with_context(|| format!("cannot write {}", out.display()))?;
    Ok(pictures.len())
}
