//! Activations.

#[cfg(feature = "flex")]
use super::flex;
use burn::tensor::{Tensor, activation, backend::Backend};

/// Computes exact GELU, `x · Φ(x)` (`torch.nn.GELU()`).
///
/// # Shapes
/// - x and output: the same
pub fn gelu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match flex::activation(x, flex::Activation::Gelu) {
        Ok(y) => return y,
        Err(x) => x,
    };
    composed::gelu(x)
}

/// Computes `x · sigmoid(1.702 x)`, CLIP's activation (transformers `QuickGELUActivation`).
///
/// # Shapes
/// - x and output: the same
pub fn quick_gelu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match flex::activation(x, flex::Activation::QuickGelu) {
        Ok(y) => return y,
        Err(x) => x,
    };
    composed::quick_gelu(x)
}

/// Computes SiLU, `x · sigmoid(x)` (`torch.nn.SiLU`).
///
/// # Shapes
/// - x and output: the same
pub fn silu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match flex::activation(x, flex::Activation::Silu) {
        Ok(y) => return y,
        Err(x) => x,
    };
    composed::silu(x)
}

/// `silu(gate) · up`, the gated activation of LLaMA's MLP.
///
/// # Shapes
/// - gate, up and output: the same
pub fn swiglu<B: Backend, const D: usize>(gate: Tensor<B, D>, up: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let (gate, up) = match flex::swiglu(gate, up) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    #[cfg(feature = "cube")]
    if let Some(y) = super::cube::swiglu(&gate, &up) {
        return y;
    }
    composed::silu(gate) * up
}

/// Composed forms, in burn's own tensor operations.
pub(super) mod composed {
    use super::{Backend, Tensor, activation};

    pub(in super::super) fn gelu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
        activation::gelu(x)
    }

    pub(in super::super) fn quick_gelu<B: Backend, const D: usize>(
        x: Tensor<B, D>,
    ) -> Tensor<B, D> {
        x.clone() * activation::sigmoid(x * 1.702)
    }

    pub(in super::super) fn silu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
        x.clone() * activation::sigmoid(x)
    }
}
