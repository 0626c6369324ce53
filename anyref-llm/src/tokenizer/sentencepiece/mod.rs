//! SentencePiece's `tokenizer.model`, as transformers' `LlamaTokenizer` reads it.
//!
//! The model becomes a tokenizer of merges (or of likelihoods, for a unigram model) whose ids are those of
//! SentencePiece itself; LLaMA's kind of model is covered: no character map, bytes for what has no piece.

mod convert;
mod proto;
mod wire;

use tokenizers::Tokenizer as Inner;

use proto::Model;

/// How a `tokenizer.model` is used, as `tokenizer_config.json` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentencePieceConfig {
    /// Whether each stretch of text between added tokens begins with a space of its own, as LLaMA 1 and 2
    /// do it; otherwise only the text's beginning has one.
    pub legacy: bool,
}

impl Default for SentencePieceConfig {
    /// As transformers without a `tokenizer_config.json`: legacy.
    fn default() -> Self {
        Self { legacy: true }
    }
}

/// Builds a tokenizer out of the content of a `tokenizer.model`; the error says what is wrong and what
/// helps.
pub(super) fn read(bytes: &[u8], config: SentencePieceConfig) -> Result<Inner, String> {
    let model = Model::read(bytes).map_err(|malformed| {
        format!(
            "not a SentencePiece model: {}; download it again",
            malformed.0
        )
    })?;
    convert::tokenizer(&model, config)
}
