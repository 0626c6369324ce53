//! Limits of a question.

/// Limits of a question and its files.
#[derive(Debug, Clone)]
pub struct QuestionLimits {
    /// Maximum pixels of a picture.
    pub pixels: u64,
    /// Maximum length of a sound in seconds.
    pub sound_seconds: f64,
    /// Maximum references of a question.
    pub references: usize,
    /// Maximum bytes of a question's words.
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
