//! SentencePiece's `tokenizer.model`, as transformers' `LlamaTokenizer` reads it.
//!
//! The model is converted to a tokenizer of merges (or of likelihoods, for a unigram model) with
//! SentencePiece's own ids. LLaMA's kind of model is supported: no character map, and bytes for
//! characters without a piece.

mod config;
mod convert;
mod gguf;
mod proto;
mod spare;

use tokenizers::Tokenizer as Inner;

pub use config::SentencePieceConfig;
pub(super) use gguf::read_gguf;
use proto::Model;
pub(super) use spare::NamedToken;

/// Builds a tokenizer from the content of a `tokenizer.model`, whose spare pieces are the `named`
/// tokens of their ids; the error names fault and remedy.
pub(super) fn read<'a>(
    bytes: &'a [u8],
    named: impl Iterator<Item = NamedToken<'a>>,
    config: SentencePieceConfig,
) -> Result<Inner, String> {
    let mut model = Model::read(bytes).map_err(|malformed| {
        format!("not a SentencePiece model: {malformed}; download it again")
    })?;
    spare::name(&mut model, named);
    convert::tokenizer(&model, config)
}
