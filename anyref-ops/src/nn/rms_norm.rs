//! Root-mean-square normalisation over the last dimension.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Tensor, backend::Backend};

/// Configuration of an [`RmsNorm`].
#[derive(Config, Debug)]
pub struct RmsNormConfig {
    /// Size of the normalised dimension.
    pub d_model: usize,
    /// Term added to the mean square.
    #[config(default = 1e-6)]
    pub epsilon: f64,
}

impl RmsNormConfig {
    /// Creates the layer with `weight = 1`.
    pub fn init<B: Backend>(&self, device: &B::Device) -> RmsNorm<B> {
        RmsNorm {
            weight: Initializer::Ones.init([self.d_model], device),
            epsilon: self.epsilon,
        }
    }
}

/// RMS norm `y = x / sqrt(mean(x²) + epsilon) * weight` over the last dimension, reduced in f32
/// (transformers `LlamaRMSNorm`).
#[derive(Module, Debug)]
pub struct RmsNorm<B: Backend> {
    /// Scale, `[d_model]`.
    pub weight: Param<Tensor<B, 1>>,
    /// Term added to the mean square.
    pub epsilon: f64,
}

impl<B: Backend> RmsNorm<B> {
    /// Applies the norm.
    ///
    /// # Shapes
    /// - x: `[..., d_model]`
    /// - output: `[..., d_model]`
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        crate::rms_norm(x, self.weight.val(), self.epsilon)
    }

    /// Computes `x + added`, and its norm.
    ///
    /// # Shapes
    /// - x, added and outputs: `[..., d_model]`
    pub fn forward_sum<const D: usize>(
        &self,
        x: Tensor<B, D>,
        added: Tensor<B, D>,
    ) -> [Tensor<B, D>; 2] {
        crate::add_rms_norm([x, added], self.weight.val(), self.epsilon)
    }
}
