//! Model of a GGUF file with its tokenizer.

use std::path::Path;

use anyref_weights::Checkpoint;
use burn::tensor::backend::Backend;

use super::load::load;
use crate::error::Result;
use crate::model::Llama;
use crate::tokenizer::{GgufTokens, Tokenizer};

/// Model of a GGUF file with its tokenizer.
#[derive(Debug)]
pub struct GgufModel<B: Backend> {
    /// Language model.
    pub model: Llama<B>,
    /// Tokenizer.
    pub tokenizer: Tokenizer,
    /// Special tokens.
    pub tokens: GgufTokens,
}

impl<B: Backend> GgufModel<B> {
    /// Loads a file, or the first of several. Its header is read once, and the tokenizer is built
    /// while the weights are repacked.
    ///
    /// # Errors
    /// See [`load_gguf`](super::load_gguf) and [`Tokenizer::from_gguf`].
    pub fn load(path: impl AsRef<Path>, device: &B::Device) -> Result<Self> {
        let (checkpoint, metadata) = Checkpoint::open_gguf(path)?;
        let (model, tokenizer) = rayon::join(
            || load(&checkpoint, &metadata, device),
            || Tokenizer::from_gguf(&metadata),
        );
        Ok(Self {
            model: model?,
            tokenizer: tokenizer?,
            tokens: GgufTokens::new(&metadata),
        })
    }
}
