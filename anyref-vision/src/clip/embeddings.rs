//! Patches, class token and positions.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Tensor, backend::Backend};

use super::ClipVisionConfig;
use crate::patch_embedding::embed_patches;

/// Turns a picture into tokens (transformers `CLIPVisionEmbeddings`).
#[derive(Module, Debug)]
pub struct ClipVisionEmbeddings<B: Backend> {
    /// Class token, `[hidden_size]`.
    pub class_embedding: Param<Tensor<B, 1>>,
    /// Projection of patches to tokens, weight `[hidden_size, channels, patch, patch]`, no bias.
    pub patch_embedding: Conv2d<B>,
    /// Position vectors, the class token's first.
    pub position_embedding: Embedding<B>,
}

impl<B: Backend> ClipVisionEmbeddings<B> {
    pub(super) fn new(config: &ClipVisionConfig, device: &B::Device) -> Self {
        let normal = Initializer::Normal {
            mean: 0.0,
            std: 0.02,
        };
        let patch = [config.patch_size; 2];
        Self {
            class_embedding: normal.init([config.hidden_size], device),
            patch_embedding: Conv2dConfig::new([config.num_channels, config.hidden_size], patch)
                .with_stride(patch)
                .with_bias(false)
                .init(device),
            position_embedding: EmbeddingConfig::new(config.num_patches() + 1, config.hidden_size)
                .with_initializer(normal)
                .init(device),
        }
    }

    /// Embeds pictures as tokens, the class token first.
    ///
    /// # Shapes
    /// - pixel_values: `[batch, channels, image_size, image_size]`
    /// - output: `[batch, 1 + patches, hidden_size]`
    ///
    /// # Panics
    /// When the picture is not `image_size` square.
    pub fn forward(&self, pixel_values: Tensor<B, 4>) -> Tensor<B, 3> {
        let patches = embed_patches(&self.patch_embedding, pixel_values);
        let [batch, rows, columns, hidden] = patches.dims();
        let positions = self.position_embedding.weight.val();
        let tokens = rows * columns + 1;
        assert_eq!(
            positions.dims()[0],
            tokens,
            "a picture of {rows}x{columns} patches does not fit the position table; \
             resize pictures to the config's image_size"
        );
        let class = self
            .class_embedding
            .val()
            .reshape([1, 1, hidden])
            .expand([batch, 1, hidden]);
        let patches = patches.reshape([batch, tokens - 1, hidden]);
        Tensor::cat(vec![class, patches], 1) + positions.unsqueeze()
    }
}
