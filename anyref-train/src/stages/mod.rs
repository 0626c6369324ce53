//! Stages of training, in the paper's order.

mod answer_tokens;
mod audio;
mod cells;
mod clip;
mod context;
mod data_questions;
mod example;
mod instruct;
mod instruct_batch;
mod instruct_forward;
mod presence;
mod questions;
mod reference_inputs;
mod regions;
mod sam;
mod scene_context;
mod scene_questions;
mod shared_prefix;
mod validation_pictures;

pub use audio::AudioStage;
pub use clip::ClipStage;
pub use context::StageContext;
pub use data_questions::DataQuestions;
pub(crate) use data_questions::DataSources;
pub use example::{Asked, Example, ExampleReference, ExampleTarget};
pub use instruct::InstructStage;
pub use instruct_batch::{InstructBatch, ObjectTarget, PredictedToken};
pub use instruct_forward::{InstructOutput, instruct_forward};
pub use reference_inputs::TokenRegion;
pub use sam::SamStage;
pub use scene_context::SceneContext;
