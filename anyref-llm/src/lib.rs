//! LLaMA on any burn backend: AnyRef's language model, which can be used alone.
//!
//! * [`Llama`], by its config also a Qwen 2 or 3 or an InternLM 2: token embeddings or any other
//!   embeddings in, last hidden states out, with what the last layer attends with (its queries and
//!   keys) beside them; [`KvCache`] for a prefix that many
//!   continuations share, with or without gradients.
//! * [`generate()`]: greedy and sampled generation for batches padded on either side;
//!   [`beam_search`]: the likeliest answers to one prompt, whose states [`read_continuations`]
//!   gives. Both have an asynchronous form, [`generate_async`] and [`beam_search_async`], that
//!   never blocks on the device and that a callback can stop.
//! * [`LoraConfig`]: low-rank adapters on any of the projections; [`peft`]: adapter folders as peft
//!   writes them.
//! * [`Tokenizer`]: LLaMA's tokenizer, from `tokenizer.json` or SentencePiece's `tokenizer.model`,
//!   and Qwen2's from `vocab.json` and `merges.txt`; [`train_tokenizer`]: a trainer for a small
//!   one.
//! * [`clip_tokenizer`]: CLIP's byte-pair encoding, for text towers.
//! * [`conversation`]: prompt templates by name, LLaVA v1's and Sa2VA's; [`ChatTemplate`]: the
//!   Jinja templates of model folders.
//! * [`import`]: the names of Hugging Face checkpoints; [`intern_lm2_checkpoint`]: InternLM 2's
//!   common matrices taken apart; [`load_gguf`]: models in llama.cpp's files, whose weights stay in
//!   blocks.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use anyref_llm::{GenerationConfig, GenerationInput, LlamaConfig, generate, train_tokenizer};
//! use burn::tensor::{Int, Tensor, TensorData};
//!
//! # #[cfg(feature = "flex")]
//! # fn main() -> anyref_llm::Result<()> {
//! type Backend = burn::backend::Flex;
//! let device = Default::default();
//! let tokenizer = train_tokenizer(["a red fox", "a red car"], 400)?;
//! let config = LlamaConfig { vocab_size: tokenizer.vocab_size(), ..LlamaConfig::tiny() };
//! let model = config.init::<Backend>(&device);
//!
//! let ids = tokenizer.encode("a red", true)?;
//! let length = ids.len();
//! let ids = Tensor::<Backend, 2, Int>::from_data(TensorData::new(ids, [1, length]), &device);
//! let input = GenerationInput::new(model.embed(ids));
//! let config = GenerationConfig::greedy(8);
//! let output = generate(&model, input, &config, |_row, _token| ControlFlow::Continue(()))?;
//! println!("{}", tokenizer.decode(&output.tokens[0])?);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "flex"))]
//! # fn main() {}
//! ```

#![recursion_limit = "256"]

mod attention;
mod beam;
mod block;
mod cache;
mod chat_template;
pub mod clip_tokenizer;
mod config;
mod continuations;
pub mod conversation;
mod error;
mod generate;
mod gguf;
pub mod import;
mod intern_lm2;
mod linear;
mod lora;
mod mlp;
mod model;
mod model_cache;
mod padding;
pub mod peft;
mod quantization;
mod rope;
mod sampling;
mod tokenizer;
mod tokenizer_training;

pub use attention::{AttentionContext, LlamaAttention, LlamaAttentionOutput};
pub use beam::{Beam, BeamConfig, beam_search, beam_search_async};
pub use block::LlamaDecoderLayer;
pub use cache::{KvCache, LayerCache};
pub use chat_template::{ChatMessage, ChatTemplate};
pub use config::{LlamaConfig, RopeScaling};
pub use continuations::read_continuations;
pub use error::{Error, Result};
pub use generate::{
    FinishReason, Generation, GenerationInput, GenerationOutput, generate, generate_async,
};
pub use gguf::{GgufModel, hugging_face_checkpoint, load_gguf};
pub use intern_lm2::intern_lm2_checkpoint;
pub use lora::{LoraConfig, LoraLinear};
pub use mlp::LlamaMlp;
pub use model::{Llama, LlamaInput, LlamaModel, LlamaOutput};
pub use quantization::{AskedForm, BlocksLoaded, Fitting, Quantization, written_block_type};
pub use rope::RotaryEmbedding;
pub use sampling::{GenerationConfig, Sampler};
pub use tokenizer::{GgufTokens, SPECIAL_TOKENS, SentencePieceConfig, Tokenizer};
pub use tokenizer_training::train_tokenizer;

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
