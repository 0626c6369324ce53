//! SentencePiece tokenizers from the metadata of a GGUF file.

use anyref_weights::GgufMetadata;
use tokenizers::Tokenizer as Inner;

use super::config::SentencePieceConfig;
use super::convert;
use super::proto::{Algorithm, Kind, Model, Piece};

/// Builds the tokenizer from `tokenizer.ggml.tokens`, `scores` and `token_type`, like llama.cpp;
/// the error names fault and remedy.
pub(in crate::tokenizer) fn read_gguf(metadata: &GgufMetadata) -> Result<Inner, String> {
    let missing = |key: &str| format!("no `{key}`; convert the model again with llama.cpp's tools");
    let key = "tokenizer.ggml.tokens";
    let texts = metadata.texts(key).ok_or_else(|| missing(key))?;
    let key = "tokenizer.ggml.scores";
    let scores = metadata.floats(key).ok_or_else(|| missing(key))?;
    let key = "tokenizer.ggml.token_type";
    let kinds = metadata.integers(key).ok_or_else(|| missing(key))?;
    if scores.len() != texts.len() || kinds.len() != texts.len() {
        let counts = [texts.len(), scores.len(), kinds.len()];
        return Err(format!(
            "{counts:?} tokens, scores and types; download it again"
        ));
    }
    let mut pieces = Vec::with_capacity(texts.len());
    for (id, (text, (&score, &kind))) in texts.iter().zip(scores.iter().zip(kinds)).enumerate() {
        let kind = Kind::from_number(kind.try_into().unwrap_or(0));
        let kind = kind.ok_or_else(|| format!("token {id} is of unknown type"))?;
        if text.is_empty() || !score.is_finite() {
            return Err(format!("token {id} is empty or its score is not finite"));
        }
        pieces.push(Piece {
            text,
            score: score as f32,
            kind,
        });
    }
    let flag = |key: &str| metadata.flag(&format!("tokenizer.ggml.{key}"));
    let model = Model {
        byte_fallback: pieces.iter().any(|piece| piece.kind == Kind::Byte),
        pieces,
        algorithm: Algorithm::Bpe,
        space_as_suffix: false,
        character_map: None,
        dummy_prefix: flag("add_space_prefix").unwrap_or(true),
        remove_extra_spaces: flag("remove_extra_whitespaces").unwrap_or(false),
        escape_spaces: true,
    };
    // llama.cpp also begins the text after a special token with a space.
    convert::tokenizer(&model, SentencePieceConfig { legacy: true })
}
