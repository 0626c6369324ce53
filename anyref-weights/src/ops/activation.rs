//! Activations.

use burn::tensor::{Tensor, activation, backend::Backend};

/// The exact GELU, `x · Φ(x)` (`torch.nn.GELU()`).
pub fn gelu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    activation::gelu(x)
}

/// `x · sigmoid(1.702 x)`, CLIP's activation (transformers `QuickGELUActivation`).
pub fn quick_gelu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.clone() * activation::sigmoid(x * 1.702)
}

/// `x · sigmoid(x)` (`torch.nn.SiLU`).
pub fn silu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    x.clone() * activation::sigmoid(x)
}
