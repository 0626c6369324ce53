//! Weights of a LLaMA in blocks: which are, and loading them so.

mod rules;
mod weights;

pub use rules::{AskedForm, Fitting, Quantization, written_block_type};
pub use weights::BlocksLoaded;
