//! Projection of the token that represents the whole input to an embedding of a given length.

use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::tensor::{DType, Tensor, backend::Backend};

/// Configuration of [`Head`].
#[derive(Config, Debug)]
pub struct HeadConfig {
    /// Width of the tokens.
    pub hidden_size: usize,
    /// Width of the embedding.
    pub output_dim: usize,
    /// Epsilon of the normalisation.
    #[config(default = 1e-6)]
    pub layer_norm_eps: f64,
}

impl HeadConfig {
    /// Creates the head.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Head<B> {
        Head {
            norm: LayerNormConfig::new(self.hidden_size)
                .with_epsilon(self.layer_norm_eps)
                .init(device),
            proj: LinearConfig::new(self.hidden_size, self.output_dim)
                .with_bias(false)
                .with_initializer(Initializer::XavierUniform { gain: 1.0 })
                .init(device),
        }
    }
}

/// Normalisation and projection of one token.
///
/// Should be created with [`HeadConfig`].
#[derive(Module, Debug)]
pub struct Head<B: Backend> {
    /// Normalisation; the authors' `modality_heads.audio.0` or `modality_heads.text.proj.0`.
    pub norm: LayerNorm<B>,
    /// Projection without bias; the authors' `modality_heads.audio.2` or
    /// `modality_heads.text.proj.1`.
    pub proj: Linear<B>,
}

impl<B: Backend> Head<B> {
    /// # Shapes
    /// - token: `[batch, 1, hidden]`
    /// - output: `[batch, output_dim]`
    pub(super) fn forward(&self, token: Tensor<B, 3>) -> Tensor<B, 2> {
        let token = self.norm.forward(token).squeeze_dim::<2>(1);
        self.proj.forward(token)
    }
}

/// Scales each row to `length`, computed in f32.
///
/// # Shapes
/// - x: `[batch, width]`
/// - output: `[batch, width]`
pub(super) fn scale_to_length<B: Backend>(x: Tensor<B, 2>, length: f64) -> Tensor<B, 2> {
    let dtype = x.dtype();
    let wide = x.cast(DType::F32);
    let norm = wide
        .clone()
        .powf_scalar(2.0)
        .sum_dim(1)
        .sqrt()
        .clamp_min(1e-12);
    (wide / norm).mul_scalar(length).cast(dtype)
}
