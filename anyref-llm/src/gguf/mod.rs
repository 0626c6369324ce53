//! Models in GGUF files of the architectures `llama`, `qwen2` and `qwen3`.
//!
//! ```no_run
//! # #[cfg(feature = "flex")]
//! # fn main() -> anyref_llm::Result<()> {
//! use anyref_llm::GgufModel;
//!
//! let loaded = GgufModel::<burn::backend::Flex>::load("model.gguf", &Default::default())?;
//! let ids = loaded.tokenizer.encode("The capital of France is", false)?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "flex"))]
//! # fn main() {}
//! ```

mod config;
mod hugging_face;
mod load;
mod model;
mod names;
mod pairs;

pub use hugging_face::hugging_face_checkpoint;
pub use load::load_gguf;
pub use model::GgufModel;
