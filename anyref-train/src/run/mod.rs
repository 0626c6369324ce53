//! A training run: launch, stage loop, optimizer, checkpoints, log and export.

pub mod checkpoint;
mod context;
mod distributed;
mod ema;
mod error;
mod export;
mod frozen_blocks;
mod initial_weights;
mod job;
mod launch;
mod loss_scale;
mod metric_log;
mod micro_steps;
mod mixed_precision;
mod module_path;
mod muon;
mod optimizer;
mod pictures;
mod plan;
mod progress;
mod run_folder;
mod stage_loop;
mod start_folder;
mod tensorboard;
mod trainer;

pub use context::{Folders, open_scenes};
pub use distributed::{DistributedError, Topology};
pub use error::{Result, RunError};
pub use export::{Which, export_adapter, export_checkpoint};
pub use job::{RunOptions, StageJob};
pub use launch::{Launch, launch};
pub use loss_scale::LossScale;
pub use pictures::draw_validation;
pub use plan::{PartPlan, Plan, StagePlan};
pub use progress::Progress;
pub use trainer::train_stage;
