//! Options of a SentencePiece model.

/// Behaviour of a `tokenizer.model` that `tokenizer_config.json` decides.
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
