//! Training of AnyRef.
//!
//! * [`config`]: configuration of a run, as JSON.
//! * [`stages`]: the tasks in the paper's order: each encoder as its original was trained, then the
//!   instructions. Each is a [`Stage`], which makes batches and their [`Losses`].
//! * [`run`]: a run from its configuration to the exported model: optimizer, schedule, checkpoints,
//!   log, several devices and machines.
//! * [`ablation`]: variants with one change at a time, over several seeds.
//! * [`losses`]: losses of the paper.
//!
//! Dependencies run one way: `ablation` → `run` → `stages` → `config` and the [`Trainee`].

#![recursion_limit = "256"]

pub mod ablation;
pub mod config;
mod feature_cache;
mod file_error;
mod gradient_checkpointing;
pub mod losses;
pub mod run;
mod stage;
mod stage_error;
pub mod stages;
mod trainee;

pub use file_error::FileError;
pub use gradient_checkpointing::Recomputing;
pub use stage::{Losses, Parts, Stage};
pub use stage_error::StageError;
pub use trainee::{PretrainingHeads, Trainee};

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
