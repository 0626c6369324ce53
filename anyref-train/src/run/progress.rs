//! Progress of a run, for a program to display.

use core::fmt::Debug;

use crate::config::StageConfig;

/// Receiver of a run's progress. `()` ignores it.
pub trait Progress: Debug + Sync {
    /// Called when run `number` of `count`, from 1, of an ablation begins.
    fn run_started(&self, _title: &str, _number: usize, _count: usize) {}

    /// Called when a stage begins, or resumes after `done` of its steps.
    fn stage_started(&self, _stage: &StageConfig, _done: u64) {}

    /// Called after a step; `done` is the number of completed steps of the stage, `metrics` are
    /// those of the log.
    fn step_ended(&self, _done: u64, _metrics: &[(String, f64)]) {}

    /// Called after the stage was validated at `step` steps.
    fn validated(&self, _stage: &StageConfig, _step: u64, _scores: &[(String, f64)]) {}

    /// Called when the stage is complete, or stops for now.
    fn stage_ended(&self) {}
}

impl Progress for () {}
