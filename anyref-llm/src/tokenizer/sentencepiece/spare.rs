//! Spare pieces of a vocabulary, which files beside it give to tokens.

use super::proto::{Kind, Model};

/// Beginning of the names of InternLM 2's spare pieces, `[UNUSED_TOKEN_0]` and so on.
const SPARE: &str = "[UNUSED";

/// Token of a file beside the model.
#[derive(Debug, Clone, Copy)]
pub(in crate::tokenizer) struct NamedToken<'a> {
    pub(in crate::tokenizer) id: u32,
    pub(in crate::tokenizer) text: &'a str,
    /// Marks a token that texts for people leave out.
    pub(in crate::tokenizer) special: bool,
}

/// Returns whether a piece stands for nothing until it is named.
pub(super) fn is_spare(text: &str) -> bool {
    text.starts_with(SPARE)
}

/// Puts tokens in the places of the spare pieces with their ids, as transformers' slow tokenizers
/// and InternLM 2's converter do (`InternLM2Converter` in `tokenization_internlm2_fast.py`). Other
/// tokens are left alone.
pub(super) fn name<'a>(model: &mut Model<'a>, named: impl Iterator<Item = NamedToken<'a>>) {
    for token in named.filter(|token| !token.text.is_empty()) {
        let piece = usize::try_from(token.id)
            .ok()
            .and_then(|id| model.pieces.get_mut(id));
        if let Some(piece) = piece.filter(|piece| is_spare(piece.text)) {
            piece.text = token.text;
            piece.kind = match token.special {
                true => Kind::Control,
                false => Kind::UserDefined,
            };
        }
    }
}
