//! A training run: configuration, schedule, optimizer, loop, checkpoints and log.

pub mod checkpoint;
pub mod config;
pub mod distributed;
mod ema;
pub mod export;
pub mod gradient_checkpointing;
mod initial_weights;
pub mod launch;
pub mod log;
mod muon;
pub mod optimizer;
pub mod pictures;
pub mod plan;
pub mod precision;
pub mod recompute;
pub mod schedule;
mod stage_loop;
mod tensorboard;
pub mod trainer;
