//! Validation pictures of a run.

use std::path::Path;

use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;

use super::checkpoint;
use super::context::Folders;
use super::error::{Result, RunError};
use super::export::{Which, opened};
use crate::config::{StageKind, TrainConfig};
use crate::stages::{DataSources, InstructStage};
use anyref_eval::contact_sheet;

/// Pairs in a row.
const COLUMNS: u32 = 3;

/// Draws up to `count` validation pictures of the last stage of instructions that the run has
/// reached: true masks in green, beside the masks of its newest checkpoint in red. Returns their
/// number.
///
/// # Errors
/// When the run has no checkpoint, has not reached such a stage, or `out` cannot be written.
pub fn draw_validation<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    count: usize,
    out: &Path,
    device: &B::Device,
) -> Result<usize> {
    let (path, trainee, context) = opened::<B>(config, folders, Which::Newest, device)?;
    let at = checkpoint::position(&path)?;
    let mut reached = config.stages.iter().take(at.stage + 1);
    let Some(stage) = reached.rfind(|stage| stage.kind == StageKind::Instruct) else {
        let run = folders.run.clone();
        return Err(RunError::NoInstructions { run });
    };
    let trainee = trainee.valid();
    let pictures = match &stage.data {
        None => {
            let stage = InstructStage::new(context.scenes()?, stage.clone())?;
            stage.validation_pictures(&trainee, count)?
        }
        Some(data) => {
            let sources = DataSources::open(data, config.seed)?;
            let stage = InstructStage::with_data(context.stage(), &sources, stage.clone());
            stage.validation_pictures(&trainee, count)?
        }
    };
    if pictures.is_empty() {
        return Err(RunError::NoPictures);
    }
    contact_sheet(&pictures, COLUMNS)
        .save(out)
        .map_err(|source| RunError::WritePictures {
            path: out.into(),
            source,
        })?;
    Ok(pictures.len())
}
