//! A training run: configuration, schedule, optimizer, loop, checkpoints and log.

mod average;
pub mod checkpoint;
pub mod config;
#[cfg(feature = "collective")]
mod exchange;
pub mod export;
mod given;
pub mod launch;
pub mod log;
mod muon;
pub mod nodes;
pub mod optimizer;
#[cfg(feature = "collective")]
mod peers;
#[cfg(not(feature = "collective"))]
#[path = "no_peers.rs"]
mod peers;
pub mod pictures;
pub mod plan;
pub mod precision;
pub mod recompute;
mod running;
pub mod schedule;
pub mod segments;
mod tensorboard;
pub mod trainer;
pub(crate) mod whole;
