//! LLaMA on any burn backend: AnyRef's language model, which can be used alone.
//!
//! * [`Llama`]: from embeddings (of tokens or of anything else) to last hidden states, with the
//!   queries and keys of the last layer; [`KvCache`] for a prefix that many continuations share,
//!   with or without gradients.
//! * [`generate()`]: greedy and sampled generation for batches padded on either side;
//!   [`beam_search`]: the likeliest answers to one prompt, whose states [`read_continuations`]
//!   computes. Both have an asynchronous form, [`generate_async`] and [`beam_search_async`], which
//!   never blocks on the device and which a callback can stop.
//! * [`lora`]: low-rank adapters on any of the projections; [`peft`]: adapter folders as peft
//!   writes them.
//! * [`tokenizer`]: LLaMA's tokenizer, from `tokenizer.json` or SentencePiece's `tokenizer.model`,
//!   and Qwen 2's from `vocab.json` and `merges.txt`; [`tokenizer_training`]: training of a small
//!   one.
//! * [`clip_tokenizer`]: CLIP's byte-pair encoding, for text towers.
//! * [`conversation`]: prompt templates by name, LLaVA v1's and Sa2VA's; [`chat_template`]: the
//!   Jinja templates of model folders.
//! * [`import`]: rename rules for Hugging Face checkpoints; [`gguf`]: models in llama.cpp's files,
//!   whose weights stay in blocks.
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

pub mod attention;
pub mod beam;
pub mod block;
pub mod cache;
pub mod chat_template;
pub mod clip_tokenizer;
pub mod config;
pub mod conversation;
pub mod error;
pub mod generate;
pub mod gguf;
pub mod import;
mod linear;
pub mod lora;
pub mod mlp;
pub mod model;
mod model_cache;
mod padding;
pub mod peft;
pub mod quantization;
pub mod rope;
pub mod sampling;
pub mod tokenizer;
pub mod tokenizer_training;

pub use beam::{Beam, BeamConfig, beam_search, beam_search_async};
pub use cache::KvCache;
pub use chat_template::{ChatMessage, ChatTemplate};
pub use clip_tokenizer::ClipTokenizer;
pub use config::{LlamaConfig, RopeScaling};
pub use conversation::{Conversation, SeparatorStyle, llava_llama_2, llava_v1};
pub use error::{Error, Result};
pub use generate::{
    FinishReason, GenerationInput, GenerationOutput, generate, generate_async, read_continuations,
};
pub use gguf::load_gguf;
pub use lora::{LoraConfig, LoraLinear};
pub use model::{Llama, LlamaInput, LlamaOutput};
pub use quantization::{Quantization, written_block_type};
pub use sampling::GenerationConfig;
pub use tokenizer::{GgufTokens, SPECIAL_TOKENS, SentencePieceConfig, Tokenizer};
pub use tokenizer_training::train_tokenizer;
