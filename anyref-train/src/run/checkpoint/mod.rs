//! Checkpoints that survive a kill: written beside, then renamed. They leave out weights that a run
//! has from its start.

mod error;
mod files;
mod list;
mod load;
mod save;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::loss_scale::LossScale;
use crate::file_error::FileError;
use files::POSITION;

pub use error::CheckpointError;
pub use list::newest;
pub(super) use load::{load_live, load_optimizer, load_start, missing};
pub use load::{load_parts, load_weights};
pub(super) use save::{State, save};

/// Position of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Index of the stage in the config.
    pub stage: usize,
    /// Number of completed steps of the stage.
    pub step: u64,
    /// Updates by parameter, for AdamW's bias correction.
    pub updates: BTreeMap<String, usize>,
    /// Best validation score of the stage so far.
    pub best: Option<f64>,
    /// Scale of the loss, for steps in f16.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    /// Steps of the stage that had no finite gradient and changed nothing.
    #[serde(default)]
    pub skipped: u64,
    /// Skipped steps in a row up to now.
    #[serde(default)]
    pub skipped_in_a_row: u32,
    /// Whether the model is the moving average (EMA) of the weights, which are in a file of their
    /// own.
    #[serde(default)]
    pub averaged: bool,
}

/// Reads the position of a checkpoint.
///
/// # Errors
/// When the checkpoint's `position.json` is missing or damaged.
pub fn position(path: &Path) -> Result<Position, CheckpointError> {
    let file = path.join(POSITION);
    let text = fs::read(&file).map_err(FileError::of("read", &file))?;
    let position: Position = serde_json::from_slice(&text)
        .map_err(|source| CheckpointError::Damaged { file, source })?;
    Ok(Position {
        best: position.best.map(single),
        ..position
    })
}

/// Score in single precision, which is written and read without a change: JSON's numbers are read
/// back to all but their last digit.
pub(super) fn single(score: f64) -> f64 {
    f64::from(score as f32)
}
