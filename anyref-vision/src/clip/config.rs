//! Hyper-parameters of the CLIP vision tower.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::layers_until;
use crate::tower_sizes::TowerSizes;

/// Name of the tower in errors.
const CLIP: &str = "CLIP";

/// Activation of the feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HiddenAct {
    /// `x · sigmoid(1.702 x)`, OpenAI's.
    #[default]
    #[serde(rename = "quick_gelu")]
    QuickGelu,
    /// Exact GELU, OpenCLIP's.
    #[serde(rename = "gelu")]
    Gelu,
}

/// Configuration of a [`ClipVisionModel`](super::ClipVisionModel). Reads the `vision_config` of
/// transformers' `config.json`; missing fields default to ViT-L/14 at 224 pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipVisionConfig {
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
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
    /// Activation of the feed-forward layers.
    pub hidden_act: HiddenAct,
    /// Epsilon of the layer normalisations.
    pub layer_norm_eps: f64,
}

impl Default for ClipVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            num_channels: 3,
            image_size: 224,
            patch_size: 14,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipVisionConfig {
    /// ViT-L/14 at 224 pixels, the tower of LLaVA-Lightning.
    pub fn vit_large_patch14() -> Self {
        Self::default()
    }

    /// Configuration with a few thousand parameters, for tests and examples.
    pub fn tiny() -> Self {
        Self {
            hidden_size: 32,
            intermediate_size: 64,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            image_size: 32,
            patch_size: 8,
            ..Self::default()
        }
    }

    /// Checks that the tower can be built.
    ///
    /// # Errors
    /// When a size is 0, `hidden_size` is not a multiple of `num_attention_heads`, or a patch is
    /// larger than the picture.
    pub fn validate(&self) -> Result<()> {
        TowerSizes {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_channels: self.num_channels,
            image_size: self.image_size,
            patch_size: self.patch_size,
        }
        .check(CLIP)
    }

    /// Patches along one side.
    ///
    /// # Panics
    /// When `patch_size` is 0.
    pub fn grid_size(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of a picture, without the class token.
    ///
    /// # Panics
    /// When `patch_size` is 0.
    pub fn num_patches(&self) -> usize {
        self.grid_size().pow(2)
    }

    /// Number of layers to run for `hidden_states[select_layer]`: index 0 is the input of the first
    /// layer, negative indices count from the last layer's output.
    ///
    /// # Errors
    /// When the index is above `num_hidden_layers` or below `-num_hidden_layers - 1`.
    pub fn layers_until(&self, select_layer: i32) -> Result<usize> {
        layers_until(self.num_hidden_layers, select_layer)
    }
}
