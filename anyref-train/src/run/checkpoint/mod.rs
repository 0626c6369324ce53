//! Checkpoints that survive a kill: written beside, then renamed. They hold what a run cannot take from where it
//! started.

mod list;
mod load;
mod save;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::precision::LossScale;

pub use list::newest;
pub use load::{load_live, load_optimizer, load_parts, load_start, load_weights, missing};
pub use save::{State, save};

/// The model, in a checkpoint's folder.
const MODEL: &str = "model.safetensors";
/// The weights that the optimizer left, where the model is their running mean.
const LIVE: &str = "live.safetensors";
/// What the optimizer remembers.
const OPTIMIZER: &str = "optimizer.safetensors";
/// Where the run stands.
const POSITION: &str = "position.json";

/// Where a run stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Index of the stage in the config.
    pub stage: usize,
    /// Steps of it that are done.
    pub step: u64,
    /// Updates by parameter, for AdamW's bias correction.
    pub updates: BTreeMap<String, usize>,
    /// Best validation score of the stage so far.
    pub best: Option<f64>,
    /// What the loss is scaled by, where it is.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    /// Steps of the stage that had no finite gradient and changed nothing.
    #[serde(default)]
    pub skipped: u64,
    /// Those of them in a row up to now.
    #[serde(default)]
    pub skipped_in_a_row: u32,
    /// Whether the model is the running mean of the weights, which are in a file of their own.
    #[serde(default)]
    pub averaged: bool,
}

/// Where a checkpoint stands.
///
/// # Errors
/// When the checkpoint's `position.json` is missing or damaged.
pub fn position(path: &Path) -> Result<Position> {
    let file = path.join(POSITION);
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let position: Position = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged: delete this checkpoint", file.display()))?;
    Ok(Position {
        best: position.best.map(single),
        ..position
    })
}

/// A score as it can be written and read without a change: JSON's numbers are read back to all but their last digit.
pub(super) fn single(score: f64) -> f64 {
    f64::from(score as f32)
}
