//! Conversion of spectrograms to tokens: overlapping patches, a class token and learned positions.

use anyref_ops::add_shared;
use anyref_ops::nn::{LayerNorm, LayerNormConfig};
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Tensor, backend::Backend};

/// Epsilon of the normalisation after the stem: PyTorch's default, unlike the rest of the encoder.
const STEM_EPSILON: f64 = 1e-5;

/// Configuration of [`AudioTokens`].
#[derive(Config, Debug)]
pub struct AudioTokensConfig {
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Side of a patch.
    pub kernel_size: usize,
    /// Distance between patches.
    pub stride: usize,
    /// Number of patches of a clip.
    pub num_patches: usize,
}

impl AudioTokensConfig {
    /// Creates the layer.
    pub fn init<B: Backend>(&self, device: &B::Device) -> AudioTokens<B> {
        let h = self.hidden_size;
        let normal = Initializer::Normal {
            mean: 0.0,
            std: (h as f64).powf(-0.5),
        };
        AudioTokens {
            cls_token: normal.init([1, 1, h], device),
            rgbt_stem: PatchEmbed {
                proj: Conv2dConfig::new([1, h], [self.kernel_size; 2])
                    .with_stride([self.stride; 2])
                    .with_bias(false)
                    .init(device),
                norm_layer: LayerNormConfig::new(h)
                    .with_epsilon(STEM_EPSILON)
                    .init(device),
            },
            pos_embedding_helper: Positions {
                pos_embed: normal.init([1, 1 + self.num_patches, h], device),
            },
        }
    }
}

/// Embedding of spectrograms as tokens (the authors' `modality_preprocessors.audio`).
///
/// Should be created with [`AudioTokensConfig`].
#[derive(Module, Debug)]
pub struct AudioTokens<B: Backend> {
    /// Class token, `[1, 1, hidden]`.
    pub cls_token: Param<Tensor<B, 3>>,
    /// Projection of patches to tokens.
    pub rgbt_stem: PatchEmbed<B>,
    /// Positions added to class token and patches.
    pub pos_embedding_helper: Positions<B>,
}

/// Convolution and normalisation.
#[derive(Module, Debug)]
pub struct PatchEmbed<B: Backend> {
    /// Convolution; patches overlap if the stride is below the kernel's size.
    pub proj: Conv2d<B>,
    /// Normalisation over the width of each token.
    pub norm_layer: LayerNorm<B>,
}

/// Learned positions.
#[derive(Module, Debug)]
pub struct Positions<B: Backend> {
    /// Learned positions of the class token and the patches, `[1, 1 + patches, hidden]`.
    pub pos_embed: Param<Tensor<B, 3>>,
}

impl<B: Backend> AudioTokens<B> {
    /// Embeds clips as tokens, the class token first.
    ///
    /// # Shapes
    /// - clips: `[batch, 1, mel, frames]`
    /// - output: `[batch, 1 + patches, hidden]`
    pub fn forward(&self, clips: Tensor<B, 4>) -> Tensor<B, 3> {
        // Sounds are cast to the model's type here.
        let clips = clips.cast(self.rgbt_stem.proj.weight.val().dtype());
        let patches = self
            .rgbt_stem
            .proj
            .forward(clips)
            .flatten::<3>(2, 3)
            .swap_dims(1, 2);
        let patches = self.rgbt_stem.norm_layer.forward(patches);
        let [batch, _, hidden] = patches.dims();
        let cls = self.cls_token.val().expand([batch, 1, hidden]);
        let tokens = Tensor::cat(vec![cls, patches], 1);
        add_shared(tokens, self.pos_embedding_helper.pos_embed.val())
    }
}
