//! Formats of a language model's weights in blocks.

pub use anyref_llm::{Quantization, written_block_type};
pub use anyref_ops::blocks::BlockType;

/// Beginning of the names of the language model's parameters.
pub(crate) const LANGUAGE_MODEL: &str = "llm.";
