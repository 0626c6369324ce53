//! SAM's layer normalisation over channels.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Tensor, backend::Backend};

/// Configuration of a [`LayerNorm2d`].
#[derive(Config, Debug)]
pub struct LayerNorm2dConfig {
    /// Number of channels.
    pub num_channels: usize,
    /// Term added to the variance.
    #[config(default = 1e-6)]
    pub epsilon: f64,
}

impl LayerNorm2dConfig {
    /// Creates the layer with `weight = 1`, `bias = 0`.
    pub fn init<B: Backend>(&self, device: &B::Device) -> LayerNorm2d<B> {
        LayerNorm2d {
            weight: Initializer::Ones.init([self.num_channels], device),
            bias: Initializer::Zeros.init([self.num_channels], device),
            epsilon: self.epsilon,
        }
    }
}

/// Layer normalisation over the channel dimension of `[batch, channels, height, width]`
/// (segment-anything `modeling/common.py`, `LayerNorm2d`).
#[derive(Module, Debug)]
pub struct LayerNorm2d<B: Backend> {
    /// Scale, `[channels]`.
    pub weight: Param<Tensor<B, 1>>,
    /// Shift, `[channels]`.
    pub bias: Param<Tensor<B, 1>>,
    /// Term added to the variance.
    pub epsilon: f64,
}

impl<B: Backend> LayerNorm2d<B> {
    /// Applies the norm over the channels of each position.
    ///
    /// # Shapes
    /// - x: `[batch, channels, height, width]`
    /// - output: `[batch, channels, height, width]`
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let x = crate::permute(x, [0, 2, 3, 1]);
        let x = crate::layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon);
        crate::permute(x, [0, 3, 1, 2])
    }
}
