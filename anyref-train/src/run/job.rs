//! A stage as a piece of work: its configuration, where it goes on, and the options of the run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::checkpoint::Position;
use super::distributed::Topology;
use super::progress::Progress;
use crate::config::StageConfig;

/// Options that do not change the task of a stage.
#[derive(Debug, Clone)]
pub struct RunOptions<'a> {
    /// Folder of the run.
    pub folder: PathBuf,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between validations.
    pub validate_every: u64,
    /// Checkpoints kept.
    pub keep: usize,
    /// Seed of a step's random draws, such as dropout.
    pub seed: u64,
    /// Steps of this process after which it stops, to be resumed later.
    pub stop_after: Option<u64>,
    /// Parameters, by name, that checkpoints leave out, since the run has them from its start.
    pub left_out: BTreeSet<String>,
    /// Machines that learn together.
    pub topology: Option<&'a Topology>,
    /// Receiver of the progress.
    pub progress: &'a dyn Progress,
}

/// A stage of a run, and where it goes on.
#[derive(Debug, Clone, Copy)]
pub struct StageJob<'a> {
    /// Configuration of the stage.
    pub config: &'a StageConfig,
    /// Its index in the run.
    pub index: usize,
    /// Options of the run.
    pub options: &'a RunOptions<'a>,
    /// Checkpoint within the stage, and its position.
    pub resume: Option<(&'a Path, &'a Position)>,
}
