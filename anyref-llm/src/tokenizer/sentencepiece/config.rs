//! Options of a SentencePiece model.

/// Behaviour of a `tokenizer.model` that depends on `tokenizer_config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentencePieceConfig {
    /// Begins each stretch of text between added tokens with its own space, as in LLaMA 1 and 2;
    /// otherwise only the beginning of the text has one.
    pub legacy: bool,
}

impl Default for SentencePieceConfig {
    /// Behaviour of transformers without a `tokenizer_config.json`: legacy.
    fn default() -> Self {
        Self { legacy: true }
    }
}
