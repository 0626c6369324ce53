//! The stages of training, in the paper's order.

mod audio;
mod cells;
mod clip;
mod context;
mod data_questions;
mod example;
mod feature_cache;
mod instruct;
mod instruct_batch;
mod instruct_forward;
mod presence;
mod questions;
mod regions;
mod sam;
mod scene_context;
mod shared_prefix;
mod validation_pictures;

pub use audio::AudioStage;
pub use clip::ClipStage;
pub use context::StageContext;
pub use data_questions::{DataQuestions, DataSources};
pub use example::{Asked, Example, ExampleReference, ExampleTarget};
pub use feature_cache::{FeatureCache, FeatureCacheConfig};
pub use instruct::InstructStage;
pub use instruct_batch::{InstructBatch, ObjectTarget};
pub use instruct_forward::{InstructOutput, instruct_forward};
pub use sam::SamStage;
pub use scene_context::SceneContext;
