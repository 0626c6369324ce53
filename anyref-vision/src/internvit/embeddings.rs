//! Patches, class token and positions.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Tensor, backend::Backend};

use super::InternVisionConfig;
use crate::patch_embedding::embed_patches;

/// Tokens of a tile (OpenGVLab's `InternVisionEmbeddings`).
#[derive(Module, Debug)]
pub struct InternVisionEmbeddings<B: Backend> {
    /// Class token, `[1, 1, hidden_size]`.
    pub class_embedding: Param<Tensor<B, 3>>,
    /// Projection of patches to tokens, weight `[hidden_size, channels, patch, patch]`.
    pub patch_embedding: Conv2d<B>,
    /// Position vectors, the class token's first: `[1, 1 + patches, hidden_size]`.
    pub position_embedding: Param<Tensor<B, 3>>,
}

impl<B: Backend> InternVisionEmbeddings<B> {
    pub(super) fn new(config: &InternVisionConfig, device: &B::Device) -> Self {
        let normal = Initializer::Normal {
            mean: 0.0,
            std: 0.02,
        };
        let (hidden, patch) = (config.hidden_size, [config.patch_size; 2]);
        Self {
            class_embedding: normal.init([1, 1, hidden], device),
            patch_embedding: Conv2dConfig::new([config.num_channels, hidden], patch)
                .with_stride(patch)
                .init(device),
            position_embedding: normal.init([1, config.num_patches() + 1, hidden], device),
        }
    }

    /// Embeds tiles as tokens, the class token first.
    ///
    /// # Shapes
    /// - pixel_values: `[tiles, channels, image_size, image_size]`
    /// - output: `[tiles, 1 + patches, hidden_size]`
    ///
    /// # Panics
    /// When the tiles are not `image_size` square.
    pub fn forward(&self, pixel_values: Tensor<B, 4>) -> Tensor<B, 3> {
        let patches = embed_patches(&self.patch_embedding, pixel_values);
        let [tiles, rows, columns, hidden] = patches.dims();
        let positions = self.position_embedding.val();
        let tokens = rows * columns + 1;
        assert_eq!(
            positions.dims()[1],
            tokens,
            "a tile of {rows}x{columns} patches does not fit the position table; \
             resize tiles to the config's image_size"
        );
        let class = self.class_embedding.val().expand([tiles, 1, hidden]);
        let patches = patches.reshape([tiles, tokens - 1, hidden]);
        Tensor::cat(vec![class, patches], 1) + positions
    }
}
