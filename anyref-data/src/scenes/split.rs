//! Splits of a data set, and the seeds, backgrounds and nouns that belong to each.

use serde::{Deserialize, Serialize};

/// Split of a data set. No two splits share a scene seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Scenes for training.
    Train,
    /// Scenes for validation during training: unseen seeds, backgrounds and sound transformations.
    Validation,
    /// Scenes for final numbers, drawn as in validation. Numbers free of any selection need a seed
    /// of the data set that was never used before.
    Test,
    /// Scenes with nouns that never occur in the other splits.
    Novel,
}

impl Split {
    /// Seed of scene `index`; `seed` is the data set's own.
    pub fn seed(self, seed: u64, index: u64) -> u64 {
        let tag = match self {
            Self::Train => 0x7261_696e,
            Self::Validation => 0x7661_6c69,
            Self::Test => 0x7465_7374,
            Self::Novel => 0x6e6f_7665,
        };
        mix(mix(mix(seed) ^ tag) ^ index)
    }

    /// Returns whether backgrounds and sound transformations unseen in training are used.
    pub fn held_out(self) -> bool {
        self != Self::Train
    }

    /// Returns whether novel nouns occur.
    pub(crate) fn has_novel(self) -> bool {
        self == Self::Novel
    }
}

/// Bijective 64-bit hash (the SplitMix64 finaliser): close seeds give unrelated streams.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
