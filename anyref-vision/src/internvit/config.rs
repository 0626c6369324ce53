//! Hyper-parameters of InternViT.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::{check, layers_until};
use crate::tower_sizes::TowerSizes;

/// Name of the tower in errors.
const INTERN_VIT: &str = "InternViT";

/// Normalisation before attention and feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormType {
    /// Layer normalisation, used by InternViT-300M.
    #[default]
    LayerNorm,
    /// Root-mean-square normalisation, used by InternViT-6B; not supported here.
    RmsNorm,
}

/// Configuration of an [`InternVisionModel`](super::InternVisionModel). Reads the `vision_config`
/// of InternVL's `config.json`; missing fields default to InternViT-300M at 448 pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InternVisionConfig {
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
    /// Side of a tile in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Adds biases to queries, keys and values.
    pub qkv_bias: bool,
    /// Normalises queries and keys, as in InternViT-6B; not supported.
    pub qk_normalization: bool,
    /// Normalisation of the layers.
    pub norm_type: NormType,
    /// Activation of the feed-forward layers; only `gelu` is supported.
    pub hidden_act: String,
    /// Epsilon of the layer normalisations.
    pub layer_norm_eps: f64,
    /// Layer scale of newly initialised weights.
    pub initializer_factor: f64,
}

impl Default for InternVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            num_channels: 3,
            image_size: 448,
            patch_size: 14,
            qkv_bias: true,
            qk_normalization: false,
            norm_type: NormType::LayerNorm,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-6,
            initializer_factor: 0.1,
        }
    }
}

impl InternVisionConfig {
    /// InternViT-300M at 448 pixels, the tower of InternVL 2.5 and 3 up to 8B.
    pub fn vit_300m() -> Self {
        Self::default()
    }

    /// Configuration with a few thousand parameters, for tests and examples.
    pub fn tiny() -> Self {
        Self {
            hidden_size: 32,
            intermediate_size: 48,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            image_size: 16,
            patch_size: 4,
            ..Self::default()
        }
    }

    /// Checks that the tower can be built and is supported.
    ///
    /// # Errors
    /// When a size is 0, `hidden_size` is not a multiple of `num_attention_heads`, a patch is
    /// larger than the tile, or the tower is of InternViT-6B's kind.
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
        .check(INTERN_VIT)?;
        let only = "InternViT-300M's kind is the only one supported; take a model that has it";
        let norm = self.norm_type == NormType::LayerNorm;
        check(INTERN_VIT, "norm_type", norm, || {
            format!("is rms_norm: {only}")
        })?;
        check(
            INTERN_VIT,
            "qk_normalization",
            !self.qk_normalization,
            || format!("is true: {only}"),
        )?;
        let act = &self.hidden_act;
        check(INTERN_VIT, "hidden_act", act == "gelu", || {
            format!("is `{act}`: only gelu is supported")
        })
    }

    /// Patches along one side.
    ///
    /// # Panics
    /// When `patch_size` is 0.
    pub fn grid_size(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of a tile, without the class token.
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
