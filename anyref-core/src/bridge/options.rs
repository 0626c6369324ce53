//! Options of bridged references.

use crate::sound_labels::SOUND_THRESHOLD;
use crate::{Error, Result};

/// How references are bridged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BridgeOptions {
    /// Whether all masks of a named picture are kept, or the one that looks most like it.
    pub keep_all: bool,
    /// Labels of a sound that are at least this likely are asked for; the likeliest always is.
    pub sound_threshold: f32,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            keep_all: false,
            sound_threshold: SOUND_THRESHOLD,
        }
    }
}

impl BridgeOptions {
    /// Whether the numbers make sense.
    ///
    /// # Errors
    /// When `sound_threshold` is not 0 to 1.
    pub fn validate(&self) -> Result<()> {
        let threshold = self.sound_threshold;
        if (0.0..=1.0).contains(&threshold) {
            return Ok(());
        }
        Err(Error::Config {
            field: "sound_threshold",
            problem: format!("is {threshold}: make it 0 to 1"),
        })
    }
}
