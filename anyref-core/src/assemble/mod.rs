//! One model folder out of published parts: CLIP, SAM, ImageBind, a LLaMA or LLaVA, and an adapter.
//!
//! The parts' own configs and shapes give the config. Tensors go from file to file, or from file to model, one at a
//! time, renamed, an adapter folded in on the way; at no time is more than one of them in memory.

mod adapter;
mod assembly;
mod fresh;
mod grow;
mod parts;
mod parts_file;
mod plan;
mod published;
mod sa2va;
mod tokenizer;
mod write;

pub use adapter::save_adapter;
pub use assembly::Assembly;
pub(crate) use parts_file::parts_file;
pub use parts_file::{PARTS_FILE, resolve_model};
pub use write::Assembled;
