//! Projection of the tower's features to tokens of the language model.

use anyref_ops::gelu;
use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::{PixelShuffle, PixelShuffleVersion, pixel_shuffle};
use crate::Result;
use crate::error::check;

/// Epsilon of the normalisation, PyTorch's default.
const EPSILON: f64 = 1e-5;

/// Configuration of an [`InternVlProjector`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InternVlProjectorConfig {
    /// Width of the tower's features.
    pub input_size: usize,
    /// Width of the language model.
    pub output_size: usize,
    /// Patches along one side of a tile.
    pub grid_size: usize,
    /// Joining of neighbours.
    pub shuffle: PixelShuffle,
}

impl InternVlProjectorConfig {
    /// Tokens of one tile.
    ///
    /// # Errors
    /// See [`PixelShuffle::factor`].
    pub fn tokens(&self) -> Result<usize> {
        Ok((self.grid_size / self.shuffle.factor(self.grid_size)?).pow(2))
    }

    /// Creates the projector with random weights.
    ///
    /// # Errors
    /// When a width is 0; also see [`PixelShuffle::factor`].
    pub fn init<B: Backend>(&self, device: &B::Device) -> Result<InternVlProjector<B>> {
        let factor = self.shuffle.factor(self.grid_size)?;
        let joined = self.input_size.saturating_mul(factor * factor);
        for (field, size) in [("input_size", joined), ("output_size", self.output_size)] {
            check("InternVL projector", field, size > 0, || {
                "is 0: make it 1 or more".to_owned()
            })?;
        }
        Ok(InternVlProjector {
            layer_norm: LayerNormConfig::new(joined)
                .with_epsilon(EPSILON)
                .init(device),
            linear_1: LinearConfig::new(joined, self.output_size).init(device),
            linear_2: LinearConfig::new(self.output_size, self.output_size).init(device),
            factor,
            version: self.shuffle.ps_version,
        })
    }
}

/// InternVL's `mlp1` after its pixel shuffle (transformers `InternVLMultiModalProjector`).
#[derive(Module, Debug)]
pub struct InternVlProjector<B: Backend> {
    /// Normalisation of the joined neighbours.
    pub layer_norm: LayerNorm<B>,
    /// Projection to the language model's width.
    pub linear_1: Linear<B>,
    /// Layer after the GELU.
    pub linear_2: Linear<B>,
    factor: usize,
    #[module(skip)]
    version: PixelShuffleVersion,
}

impl<B: Backend> InternVlProjector<B> {
    /// Joins neighbouring patches and projects them to the width of the language model.
    ///
    /// # Shapes
    /// - features: `[tiles, patches, input_size]`
    /// - output: `[tiles, tokens, output_size]`
    ///
    /// # Panics
    /// When the patches are not a square grid that the shuffle divides.
    pub fn forward(&self, features: Tensor<B, 3>) -> Tensor<B, 3> {
        let joined = pixel_shuffle(features, self.factor, self.version);
        let x = self.linear_1.forward(self.layer_norm.forward(joined));
        self.linear_2.forward(gelu(x))
    }
}
