//! SAM 2's image encoder.

use anyref_ops as ops;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use super::config::Sam2VisionConfig;
use super::hiera::Hiera;
use super::neck::FpnNeck;

impl Sam2VisionConfig {
    /// Creates the encoder with random weights (lazily: loading a checkpoint draws none).
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Sam2ImageEncoder<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let normal = Initializer::Normal {
            mean: 0.0,
            std: 0.02,
        };
        Sam2ImageEncoder {
            backbone: Hiera::new(&self.backbone_config, device),
            neck: FpnNeck::new(self, device),
            no_memory_embedding: normal.init([1, 1, self.fpn_hidden_size], device),
            config: self.clone(),
        }
    }
}

/// Features of a picture for SAM 2's mask decoder.
#[derive(Debug, Clone)]
pub struct Sam2Features<B: Backend> {
    /// Level that prompts attend to, plus the embedding of an empty memory: `[batch, width, grid,
    /// grid]`.
    pub image_embeddings: Tensor<B, 4>,
    /// Two finer levels, finest first, channels last: `[batch, 4 grid, 4 grid, width]` and `[batch,
    /// 2 grid, 2 grid, width]`.
    pub high_resolution: [Tensor<B, 4>; 2],
}

/// Hiera and a feature pyramid (SAM 2 `ImageEncoder`), with the one parameter of the video side
/// that single pictures need.
#[derive(Module, Debug)]
pub struct Sam2ImageEncoder<B: Backend> {
    /// Trunk.
    pub backbone: Hiera<B>,
    /// Feature pyramid.
    pub neck: FpnNeck<B>,
    /// Placeholder for the memory of earlier frames, `[1, 1, width]` (SAM 2 `no_mem_embed`).
    pub no_memory_embedding: Param<Tensor<B, 3>>,
    #[module(skip)]
    config: Sam2VisionConfig,
}

impl<B: Backend> Sam2ImageEncoder<B> {
    /// Configuration of the encoder.
    pub fn config(&self) -> &Sam2VisionConfig {
        &self.config
    }

    /// Encodes pictures.
    ///
    /// # Shapes
    /// - pixel_values: `[batch, channels, image_size, image_size]`
    ///
    /// # Panics
    /// When the picture is not `image_size` square.
    pub fn forward(&self, pixel_values: Tensor<B, 4>) -> Sam2Features<B> {
        let [_, _, height, width] = pixel_values.dims();
        assert_eq!(
            [height, width],
            [self.config.image_size; 2],
            "the picture differs from the config's image_size; resize it"
        );
        let stages = self.backbone.forward(pixel_values);
        let levels: [Tensor<B, 4>; 3] = self
            .neck
            .forward(stages)
            .try_into()
            .expect("a config has three levels");
        let [finest, finer, coarse] = levels;
        let [_, _, width] = self.no_memory_embedding.dims();
        let memory = self.no_memory_embedding.val().reshape([1, 1, 1, width]);
        Sam2Features {
            image_embeddings: ops::permute(coarse + memory, [0, 3, 1, 2]),
            high_resolution: [finest, finer],
        }
    }
}
