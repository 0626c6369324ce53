//! Normalisations over the last dimension.

#[cfg(feature = "flex")]
use super::flex::{NormInput, norm};
use burn::tensor::{Tensor, backend::Backend};

/// `(x - mean) / sqrt(var + epsilon) * gamma + beta`.
///
/// # Shapes
/// - x and output: `[..., d]`
/// - gamma and beta: `[d]`
pub fn layer_norm<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let (x, gamma, beta) = match norm(NormInput {
        x,
        gamma,
        beta: Some(beta.clone()),
        epsilon,
    }) {
        Ok(y) => return y,
        Err(input) => (input.x, input.gamma, beta),
    };
    composed::layer_norm(x, gamma, beta, epsilon)
}

/// `x / sqrt(mean(x²) + epsilon) * gamma`, reduced in f32.
///
/// # Shapes
/// - x and output: `[..., d]`
/// - gamma: `[d]`
pub fn rms_norm<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    gamma: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let (x, gamma) = match norm(NormInput {
        x,
        gamma,
        beta: None,
        epsilon,
    }) {
        Ok(y) => return y,
        Err(input) => (input.x, input.gamma),
    };
    composed::rms_norm(x, gamma, epsilon)
}

/// The composed forms, in burn's own tensor operations. Half values are normalised in f32.
pub(super) mod composed {
    use burn::tensor::{DType, Tensor, TensorPrimitive, backend::Backend};

    pub(in super::super) fn layer_norm<B: Backend, const D: usize>(
        x: Tensor<B, D>,
        gamma: Tensor<B, 1>,
        beta: Tensor<B, 1>,
        epsilon: f64,
    ) -> Tensor<B, D> {
        let dtype = x.dtype();
        let wide = match dtype {
            DType::F16 | DType::BF16 => DType::F32,
            _ => dtype,
        };
        let y = Tensor::from_primitive(TensorPrimitive::Float(B::layer_norm(
            x.cast(wide).into_primitive().tensor(),
            gamma.cast(wide).into_primitive().tensor(),
            Some(beta.cast(wide).into_primitive().tensor()),
            epsilon,
        )));
        Tensor::<B, D>::cast(y, dtype)
    }

    pub(in super::super) fn rms_norm<B: Backend, const D: usize>(
        x: Tensor<B, D>,
        gamma: Tensor<B, 1>,
        epsilon: f64,
    ) -> Tensor<B, D> {
        let dtype = x.dtype();
        let wide = x.cast(DType::F32);
        let scale = wide
            .clone()
            .powf_scalar(2.0)
            .mean_dim(D - 1)
            .add_scalar(epsilon)
            .sqrt();
        (wide / scale).cast(dtype) * gamma.unsqueeze()
    }
}
