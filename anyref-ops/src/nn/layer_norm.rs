//! Layer normalisation over the last dimension.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Tensor, backend::Backend};

/// Configuration of a [`LayerNorm`].
#[derive(Config, Debug)]
pub struct LayerNormConfig {
    /// Size of the normalised dimension.
    pub d_model: usize,
    /// Term added to the variance.
    #[config(default = 1e-5)]
    pub epsilon: f64,
}

impl LayerNormConfig {
    /// Creates the layer with `gamma = 1`, `beta = 0`.
    pub fn init<B: Backend>(&self, device: &B::Device) -> LayerNorm<B> {
        LayerNorm {
            gamma: Initializer::Ones.init([self.d_model], device),
            beta: Initializer::Zeros.init([self.d_model], device),
            epsilon: self.epsilon,
        }
    }
}

/// Layer norm `y = (x - mean) / sqrt(var + epsilon) * gamma + beta` over the last dimension
/// (`torch.nn.LayerNorm`; `weight` is `gamma`, `bias` is `beta`).
#[derive(Module, Debug)]
pub struct LayerNorm<B: Backend> {
    /// Scale, `[d_model]`.
    pub gamma: Param<Tensor<B, 1>>,
    /// Shift, `[d_model]`.
    pub beta: Param<Tensor<B, 1>>,
    /// Term added to the variance.
    pub epsilon: f64,
}

impl<B: Backend> LayerNorm<B> {
    /// Applies the norm.
    ///
    /// # Shapes
    /// - x: `[..., d_model]`
    /// - output: `[..., d_model]`
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        crate::layer_norm(x, self.gamma.val(), self.beta.val(), self.epsilon)
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
        let (gamma, beta) = (self.gamma.val(), self.beta.val());
        crate::add_layer_norm([x, added], gamma, beta, self.epsilon)
    }

    /// Computes the norm of `x`, or of `x + added`, and its sum with `places`.
    ///
    /// # Shapes
    /// - x, added, places: `[batch or 1, length, d_model]`
    /// - outputs: `[batch, length, d_model]`
    pub fn forward_placed(
        &self,
        x: Tensor<B, 3>,
        added: Option<Tensor<B, 3>>,
        places: Tensor<B, 3>,
    ) -> [Tensor<B, 3>; 2] {
        let parameters = [self.gamma.val(), self.beta.val()];
        crate::placed_layer_norm(x, added, places, parameters, self.epsilon)
    }

    /// Parameters of a kernel.
    #[cfg(feature = "cube")]
    pub(super) fn parameters(&self) -> crate::cube::NormParameters<B> {
        crate::cube::NormParameters {
            gamma: self.gamma.val(),
            beta: Some(self.beta.val()),
            epsilon: self.epsilon,
        }
    }
}
