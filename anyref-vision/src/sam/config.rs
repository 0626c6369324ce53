//! Hyper-parameters of SAM's image encoder.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::{check, check_transformer};

/// Name of the encoder in errors.
const SAM: &str = "SAM";

/// Configuration of a [`SamImageEncoder`](super::SamImageEncoder). Reads the `vision_config` of
/// transformers' `config.json`; missing fields default to ViT-H.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SamVisionConfig {
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub mlp_dim: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Channels of the picture.
    pub num_channels: usize,
    /// Side of the picture in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Channels of the output.
    pub output_channels: usize,
    /// Side of the attention windows of most layers, in patches; 0 makes all layers global.
    pub window_size: usize,
    /// Layers that attend to the whole picture.
    pub global_attn_indexes: Vec<usize>,
    /// Epsilon of the normalisations.
    pub layer_norm_eps: f64,
    /// Adds a bias to queries, keys and values.
    pub qkv_bias: bool,
    /// Adds a learned vector at each position.
    pub use_abs_pos: bool,
    /// Uses decomposed relative positions in the attention.
    pub use_rel_pos: bool,
}

impl Default for SamVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 1280,
            mlp_dim: 5120,
            num_hidden_layers: 32,
            num_attention_heads: 16,
            num_channels: 3,
            image_size: 1024,
            patch_size: 16,
            output_channels: 256,
            window_size: 14,
            global_attn_indexes: vec![7, 15, 23, 31],
            layer_norm_eps: 1e-6,
            qkv_bias: true,
            use_abs_pos: true,
            use_rel_pos: true,
        }
    }
}

impl SamVisionConfig {
    /// ViT-H.
    pub fn vit_huge() -> Self {
        Self::default()
    }

    /// ViT-L.
    pub fn vit_large() -> Self {
        Self {
            hidden_size: 1024,
            mlp_dim: 4096,
            num_hidden_layers: 24,
            global_attn_indexes: vec![5, 11, 17, 23],
            ..Self::default()
        }
    }

    /// ViT-B.
    pub fn vit_base() -> Self {
        Self {
            hidden_size: 768,
            mlp_dim: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            global_attn_indexes: vec![2, 5, 8, 11],
            ..Self::default()
        }
    }

    /// Configuration with a few thousand parameters, for tests and examples.
    pub fn tiny() -> Self {
        Self {
            hidden_size: 32,
            mlp_dim: 64,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            image_size: 64,
            patch_size: 8,
            output_channels: 16,
            window_size: 3,
            global_attn_indexes: vec![1],
            ..Self::default()
        }
    }

    /// Checks that the encoder can be built.
    ///
    /// # Errors
    /// When a size is 0, `hidden_size` is not a multiple of `num_attention_heads`, `image_size` is
    /// not a multiple of `patch_size`, or a global layer does not exist.
    pub fn validate(&self) -> Result<()> {
        check_transformer(
            SAM,
            [
                ("hidden_size", self.hidden_size),
                ("mlp_dim", self.mlp_dim),
                ("num_hidden_layers", self.num_hidden_layers),
                ("num_attention_heads", self.num_attention_heads),
                ("num_channels", self.num_channels),
                ("image_size", self.image_size),
                ("patch_size", self.patch_size),
                ("output_channels", self.output_channels),
            ],
            [self.hidden_size, self.num_attention_heads],
        )?;
        let (side, patch) = (self.image_size, self.patch_size);
        check(SAM, "image_size", side.is_multiple_of(patch), || {
            format!("is {side}: make it a multiple of patch_size, {patch}")
        })?;
        let (global, layers) = (&self.global_attn_indexes, self.num_hidden_layers);
        let there = global.iter().all(|&index| index < layers);
        check(SAM, "global_attn_indexes", there, || {
            format!("is {global:?}: keep below num_hidden_layers, {layers}")
        })
    }

    /// Patches along one side of the picture, which is also the side of the output.
    ///
    /// # Panics
    /// When `patch_size` is 0.
    pub fn grid_size(&self) -> usize {
        self.image_size / self.patch_size
    }
}
