//! Assembly of a model folder from published parts: CLIP, SAM, ImageBind, a LLaMA or LLaVA, and an
//! adapter.
//!
//! The config follows from the parts' own configs and shapes. Tensors are copied from file to file,
//! or from file to model, one at a time, with renaming and merging of an adapter; memory never
//! holds more than one of them.

mod adapter;
mod assembly;
mod fresh;
mod grow;
mod opened_parts;
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
