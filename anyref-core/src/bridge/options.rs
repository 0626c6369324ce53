//! Options of bridged references.

use crate::sound_labels::SOUND_THRESHOLD;
use crate::{Error, Result};

/// Options of bridging.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BridgeOptions {
    /// Keeps all masks of a named picture instead of the most similar one.
    pub keep_all: bool,
    /// Minimum probability of the labels that are asked for; the likeliest always is.
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
    /// Checks the values.
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
