//! Models in GGUF files of the architectures `llama` and `qwen2`.
//!
//! ```no_run
//! # #[cfg(feature = "flex")]
//! # fn main() -> anyref_llm::Result<()> {
//! use anyref_llm::{GgufTokens, Tokenizer, load_gguf};
//! use anyref_weights::GgufMetadata;
//!
//! let metadata = GgufMetadata::open("model.gguf")?;
//! let tokenizer = Tokenizer::from_gguf(&metadata)?;
//! let tokens = GgufTokens::new(&metadata);
//! let model = load_gguf::<burn::backend::Flex>("model.gguf", &Default::default())?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "flex"))]
//! # fn main() {}
//! ```

mod config;
mod hugging_face;
mod load;
mod names;
mod pairs;

pub use hugging_face::hugging_face_checkpoint;
pub use load::load_gguf;
