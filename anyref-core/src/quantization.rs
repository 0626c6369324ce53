//! Block formats of a language model's weights.

pub use anyref_llm::{Quantization, written_block_type};
pub use anyref_ops::blocks::BlockType;

/// Prefix of the names of the language model's parameters.
pub(crate) const LANGUAGE_MODEL: &str = "llm.";
