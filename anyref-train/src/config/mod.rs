//! Configuration of a training run, as JSON.

mod block_format;
mod preset;
mod schedule;
mod stage;
mod train;

pub use crate::feature_cache::FeatureCacheConfig;
pub use schedule::{Decay, Schedule};
pub use stage::{DataConfig, Precision, StageConfig, StageKind};
pub use train::{InitialWeights, TrainConfig};
