//! Bounds of a question.

/// Bounds of a question and its files.
#[derive(Debug, Clone)]
pub struct QuestionLimits {
    /// Pixels of a picture.
    pub pixels: u64,
    /// Seconds of a sound.
    pub sound_seconds: f64,
    /// References of a question.
    pub references: usize,
    /// Bytes of a question's words.
    pub bytes: usize,
}

impl Default for QuestionLimits {
    fn default() -> Self {
        Self {
            pixels: 40_000_000,
            sound_seconds: 120.0,
            references: 16,
            bytes: 4096,
        }
    }
}
