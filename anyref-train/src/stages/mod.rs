//! The stages of training, in the paper's order.

mod audio;
mod cells;
mod clip;
mod context;
mod instruct;
mod instruct_batch;
mod regions;
mod sam;

pub use audio::AudioStage;
pub use clip::ClipStage;
pub use context::StageContext;
pub use instruct::{InstructOutput, InstructStage, instruct_forward};
pub use instruct_batch::{InstructBatch, ObjectTarget};
pub use sam::SamStage;
