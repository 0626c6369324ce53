//! SentencePiece's `tokenizer.model`, as transformers' `LlamaTokenizer` reads it.
//!
//! The model becomes a tokenizer of merges (or of likelihoods, for a unigram model) whose ids are those of
//! SentencePiece itself; LLaMA's kind of model is covered: no character map, bytes for what has no piece.

mod config;
mod convert;
mod gguf;
mod proto;

use tokenizers::Tokenizer as Inner;

pub use config::SentencePieceConfig;
pub(super) use gguf::read_gguf;
use proto::Model;

/// Builds a tokenizer out of the content of a `tokenizer.model`; the error says what is wrong and what
/// helps.
pub(super) fn read(bytes: &[u8], config: SentencePieceConfig) -> Result<Inner, String> {
    let model = Model::read(bytes).map_err(|malformed| {
        format!("not a SentencePiece model: {malformed}; download it again")
    })?;
    convert::tokenizer(&model, config)
}
