//! A training run: configuration, schedule, optimizer, loop, checkpoints and log.

pub mod checkpoint;
pub mod config;
pub mod launch;
pub mod log;
pub mod optimizer;
pub mod plan;
pub mod schedule;
mod tensorboard;
pub mod trainer;
