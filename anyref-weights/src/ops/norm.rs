//! Normalisations over the last dimension.

use burn::tensor::{DType, Tensor, TensorPrimitive, backend::Backend};

/// `(x - mean) / sqrt(var + epsilon) * gamma + beta`.
///
/// # Shapes
/// - x: `[..., d]`, gamma and beta: `[d]`
pub fn layer_norm<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(B::layer_norm(
        x.into_primitive().tensor(),
        gamma.into_primitive().tensor(),
        Some(beta.into_primitive().tensor()),
        epsilon,
    )))
}

/// `x / sqrt(mean(x²) + epsilon) * gamma`, reduced in f32.
///
/// # Shapes
/// - x: `[..., d]`, gamma: `[d]`
pub fn rms_norm<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    gamma: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, D> {
    let dtype = x.dtype();
    let wide = x.cast(DType::F32);
    let scale = wide.clone().powf_scalar(2.0).mean_dim(D - 1).add_scalar(epsilon).sqrt();
    (wide / scale).cast(dtype) * gamma.unsqueeze()
}
