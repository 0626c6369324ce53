//! Job of a stage: its configuration, where it resumes, and the options of the run.

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
    /// Number of checkpoints kept.
    pub keep: usize,
    /// Seed of a step's random draws, such as dropout.
    pub seed: u64,
    /// Steps after which this process stops, to be resumed later.
    pub stop_after: Option<u64>,
    /// Names of the parameters that checkpoints leave out, because the run reads them from its
    /// start.
    pub left_out: BTreeSet<String>,
    /// Machines that train together.
    pub topology: Option<&'a Topology>,
    /// Receiver of the progress.
    pub progress: &'a dyn Progress,
}

/// Stage of a run, and where it resumes.
#[derive(Debug, Clone, Copy)]
pub struct StageJob<'a> {
    /// Configuration of the stage.
    pub config: &'a StageConfig,
    /// Index of the stage in the run.
    pub index: usize,
    /// Options of the run.
    pub options: &'a RunOptions<'a>,
    /// Checkpoint within the stage and its position, to resume from.
    pub resume: Option<(&'a Path, &'a Position)>,
}
