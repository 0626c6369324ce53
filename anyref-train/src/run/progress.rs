//! Progress of a run, for a program to show.

use core::fmt::Debug;

use crate::config::StageConfig;

/// Receiver of a run's progress. `()` shows nothing.
pub trait Progress: Debug + Sync {
    /// A run of an ablation begins: `number` of `count`, from 1.
    fn run_started(&self, _title: &str, _number: usize, _count: usize) {}

    /// A stage begins, or goes on after `done` of its steps.
    fn stage_started(&self, _stage: &StageConfig, _done: u64) {}

    /// A step has ended, after which `done` of the stage are; `metrics` are those of the log.
    fn step_ended(&self, _done: u64, _metrics: &[(String, f64)]) {}

    /// The stage was validated after `step` steps.
    fn validated(&self, _stage: &StageConfig, _step: u64, _scores: &[(String, f64)]) {}

    /// The stage is complete, or stops for now.
    fn stage_ended(&self) {}
}

impl Progress for () {}
