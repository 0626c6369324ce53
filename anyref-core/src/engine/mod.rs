//! Model kept alive on a backend chosen by name; no public type depends on the backend.

mod held;
mod info;
mod interface;
mod load;
mod loaded;
mod options;
mod picture;
mod sam;

pub use info::{EngineInfo, PartInfo};
pub use interface::{Dialogue, Engine, EngineFuture, Request};
pub use load::load_engine;
pub use options::{AnswerOptions, EngineOptions, ModelSource};
pub use picture::EncodedPicture;
