//! SAM's image encoder.

use anyref_ops::{add, add_shared};
use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Tensor, backend::Backend};

use super::{SamVisionConfig, SamVisionLayer, SamVisionNeck};
use crate::patch_embedding::embed_patches;

impl SamVisionConfig {
    /// Creates the encoder with random weights (lazily: loading a checkpoint draws none).
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> SamImageEncoder<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let grid = self.grid_size();
        let patch = [self.patch_size; 2];
        let position = Initializer::Normal {
            mean: 0.0,
            std: 0.02,
        };
        SamImageEncoder {
            patch_embed: SamPatchEmbeddings {
                projection: Conv2dConfig::new([self.num_channels, self.hidden_size], patch)
                    .with_stride(patch)
                    .init(device),
            },
            pos_embed: self
                .use_abs_pos
                .then(|| position.init([1, grid, grid, self.hidden_size], device)),
            layers: (0..self.num_hidden_layers)
                .map(|index| SamVisionLayer::new(self, index, device))
                .collect(),
            neck: SamVisionNeck::new(self, device),
            config: self.clone(),
        }
    }
}

/// Projection of a picture to tokens (transformers `SamPatchEmbeddings`).
#[derive(Module, Debug)]
pub struct SamPatchEmbeddings<B: Backend> {
    /// Convolution, weight `[hidden_size, channels, patch, patch]`.
    pub projection: Conv2d<B>,
}

/// Vision transformer with windowed and global attention, and a convolutional neck.
#[derive(Module, Debug)]
pub struct SamImageEncoder<B: Backend> {
    /// Embedding of a picture as tokens.
    pub patch_embed: SamPatchEmbeddings<B>,
    /// Position vectors, `[1, grid, grid, hidden_size]`.
    pub pos_embed: Option<Param<Tensor<B, 4>>>,
    /// Layers, first to last.
    pub layers: Vec<SamVisionLayer<B>>,
    /// Projection of tokens to the mask decoder's channels.
    pub neck: SamVisionNeck<B>,
    #[module(skip)]
    config: SamVisionConfig,
}

impl<B: Backend> SamImageEncoder<B> {
    /// Configuration of the encoder.
    pub fn config(&self) -> &SamVisionConfig {
        &self.config
    }

    /// Encodes pictures. Without absolute positions other sizes than `image_size` are accepted, and
    /// the relative position tables of global layers are resized to them.
    ///
    /// # Shapes
    /// - pixel_values: `[batch, channels, image_size, image_size]`
    /// - output: `[batch, output_channels, image_size / patch_size, image_size / patch_size]`
    ///
    /// # Panics
    /// When there are absolute positions and the picture is not `image_size` square.
    pub fn forward(&self, pixel_values: Tensor<B, 4>) -> Tensor<B, 4> {
        let mut x = embed_patches(&self.patch_embed.projection, pixel_values);
        if let Some(position) = &self.pos_embed {
            let position = position.val();
            let [_, height, width, _] = x.dims();
            let [_, rows, columns, _] = position.dims();
            assert_eq!(
                [height, width],
                [rows, columns],
                "the picture's grid of patches differs from the position table's; \
                 pad pictures to the config's image_size"
            );
            x = add_shared(x, position);
        }
        let mut added = None;
        for layer in &self.layers {
            let [residual, more] = layer.step(x, added);
            (x, added) = (residual, Some(more));
        }
        if let Some(added) = added {
            x = add(added, x);
        }
        self.neck.forward(x)
    }
}
