//! Sizes of vision transformers with square patches, as CLIP and InternViT have them.

use crate::Result;
use crate::error::{check, check_transformer};

/// Sizes of a tower, by their names in a config.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TowerSizes {
    pub(crate) hidden_size: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) num_channels: usize,
    pub(crate) image_size: usize,
    pub(crate) patch_size: usize,
}

impl TowerSizes {
    /// Refuses sizes that no `tower` can have.
    ///
    /// # Errors
    /// When one is 0, `hidden_size` is not a multiple of `num_attention_heads`, or a patch is
    /// larger than the picture.
    pub(crate) fn check(self, tower: &'static str) -> Result<()> {
        check_transformer(
            tower,
            [
                ("hidden_size", self.hidden_size),
                ("intermediate_size", self.intermediate_size),
                ("num_hidden_layers", self.num_hidden_layers),
                ("num_attention_heads", self.num_attention_heads),
                ("num_channels", self.num_channels),
                ("image_size", self.image_size),
                ("patch_size", self.patch_size),
            ],
            [self.hidden_size, self.num_attention_heads],
        )?;
        let (side, patch) = (self.image_size, self.patch_size);
        check(tower, "patch_size", patch <= side, || {
            format!("is {patch}: make it {side} (image_size) at most")
        })
    }
}
