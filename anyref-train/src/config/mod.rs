//! Configuration of a training run, as JSON.

mod block_format;
mod error;
mod preset;
mod schedule;
mod stage;
mod stage_kind;
mod train;

pub use crate::feature_cache::FeatureCacheConfig;
pub use error::ConfigError;
pub use schedule::{Decay, Schedule};
pub use stage::{DataConfig, Precision, StageConfig};
pub use stage_kind::StageKind;
pub use train::{InitialWeights, TrainConfig};
