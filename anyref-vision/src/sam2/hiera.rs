//! Hiera, a vision transformer in stages (Ryali et al., *Hiera: A Hierarchical Vision Transformer
//! without the Bells-and-Whistles*, ICML 2023, arXiv 2306.00989), in SAM 2's variant.

use burn::module::{Initializer, Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Tensor, backend::Backend};

use super::block::MultiScaleBlock;
use super::config::HieraConfig;
use super::position::windowed;

/// Projection of a picture to tokens by overlapping patches (transformers `Sam2PatchEmbeddings`).
#[derive(Module, Debug)]
pub struct HieraPatchEmbeddings<B: Backend> {
    /// Convolution, weight `[width, channels, kernel, kernel]`.
    pub projection: Conv2d<B>,
}

/// Trunk (SAM 2 `Hiera`, transformers `Sam2HieraDetModel`).
#[derive(Module, Debug)]
pub struct Hiera<B: Backend> {
    /// Embedding of a picture as tokens.
    pub patch_embed: HieraPatchEmbeddings<B>,
    /// Positions over the whole picture, `[1, width, rows, columns]`.
    pub pos_embed: Param<Tensor<B, 4>>,
    /// Positions within a window of the first stage, `[1, width, side, side]`.
    pub pos_embed_window: Param<Tensor<B, 4>>,
    /// Blocks, first to last.
    pub blocks: Vec<MultiScaleBlock<B>>,
    #[module(skip)]
    config: HieraConfig,
}

impl<B: Backend> Hiera<B> {
    pub(super) fn new(config: &HieraConfig, device: &B::Device) -> Self {
        let width = config.embed_dim_per_stage[0];
        let [down, across] = config.patch_padding;
        let normal = Initializer::Normal {
            mean: 0.0,
            std: 0.02,
        };
        let [rows, columns] = config.window_positional_embedding_background_size;
        let side = config.window_size_per_stage[0];
        Self {
            patch_embed: HieraPatchEmbeddings {
                projection: Conv2dConfig::new(
                    [config.num_channels, width],
                    config.patch_kernel_size,
                )
                .with_stride(config.patch_stride)
                .with_padding(PaddingConfig2d::Explicit(down, across, down, across))
                .init(device),
            },
            pos_embed: normal.init([1, width, rows, columns], device),
            pos_embed_window: normal.init([1, width, side, side], device),
            blocks: config
                .blocks()
                .into_iter()
                .map(|sizes| MultiScaleBlock::new(config, sizes, device))
                .collect(),
            config: config.clone(),
        }
    }

    /// Output of each stage, finest first.
    ///
    /// # Shapes
    /// - pixel_values: `[batch, channels, height, width]`
    /// - output: `[batch, height / stride, width / stride, dim]`, each stage with half of the rows
    ///   and columns of the one before
    pub fn forward(&self, pixel_values: Tensor<B, 4>) -> Vec<Tensor<B, 4>> {
        let projection = &self.patch_embed.projection;
        let pixels = pixel_values.cast(projection.weight.val().dtype());
        let x = anyref_ops::permute(projection.forward(pixels), [0, 2, 3, 1]);
        let [_, height, width, _] = x.dims();
        let position = windowed(
            self.pos_embed.val(),
            self.pos_embed_window.val(),
            [height, width],
        );
        let mut x = anyref_ops::add_shared(x, position);
        let mut stages = Vec::with_capacity(self.config.blocks_per_stage.len());
        let mut blocks = self.blocks.iter();
        for &count in &self.config.blocks_per_stage {
            for block in blocks.by_ref().take(count) {
                x = block.forward(x);
            }
            stages.push(x.clone());
        }
        stages
    }
}
