//! Normalisations over the last dimension.

#[cfg(feature = "cube")]
use super::cube::{self, NormParameters};
#[cfg(feature = "flex")]
use super::flex::{Activation, NormInput, NormSum, Normed, norm, norm_sum};
use super::shared::{add, add_shared};
use burn::tensor::{Tensor, backend::Backend};

/// Computes `(x - mean) / sqrt(var + epsilon) * gamma + beta` over the last dimension.
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
    #[cfg(feature = "cube")]
    if let Some(y) = cube::norm(&x, &parameters(&gamma, Some(&beta), epsilon)) {
        return y;
    }
    composed::layer_norm(x, gamma, beta, epsilon)
}

/// Computes [`gelu`](super::gelu) of the [`layer_norm`]; on the processor without gradients in one
/// pass.
///
/// # Shapes
/// - x and output: `[..., d]`
/// - gamma and beta: `[d]`
pub fn layer_norm_gelu<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let (x, gamma, beta) = {
        let input = NormSum {
            x,
            added: None,
            places: None,
            gamma,
            beta,
            epsilon,
            activation: Some(Activation::Gelu),
        };
        match norm_sum(input) {
            Ok(normed) => return normed.norm,
            Err(input) => (input.x, input.gamma, input.beta),
        }
    };
    super::gelu(layer_norm(x, gamma, beta, epsilon))
}

/// Computes `x + added`, and its [`layer_norm`]; on GPUs in one launch, on the processor without
/// gradients in one pass.
///
/// # Shapes
/// - x, added and outputs: `[..., d]`
/// - gamma and beta: `[d]`
pub fn add_layer_norm<B: Backend, const D: usize>(
    [x, added]: [Tensor<B, D>; 2],
    gamma: Tensor<B, 1>,
    beta: Tensor<B, 1>,
    epsilon: f64,
) -> [Tensor<B, D>; 2] {
    #[cfg(feature = "flex")]
    let (x, added, gamma, beta) = {
        let input = NormSum {
            x,
            added: Some(added),
            places: None,
            gamma,
            beta,
            epsilon,
            activation: None,
        };
        match norm_sum(input) {
            Ok(Normed { sum, norm, .. }) => return [sum.expect("of two addends"), norm],
            Err(input) => {
                let added = input.added.expect("it was given");
                (input.x, added, input.gamma, input.beta)
            }
        }
    };
    #[cfg(feature = "cube")]
    if let Some(outputs) = cube::add_norm(&x, &added, &parameters(&gamma, Some(&beta), epsilon)) {
        return outputs;
    }
    let sum = add(added, x);
    [sum.clone(), layer_norm(sum, gamma, beta, epsilon)]
}

/// Computes the [`layer_norm`] of `x`, or of `x + added`, and its sum with `places`; without
/// gradients in one launch on GPUs, unless `added` is broadcast, and in one pass on the processor.
///
/// # Shapes
/// - x, added: `[batch or 1, length, d]`
/// - places: `[batch or 1, length, d]`
/// - gamma and beta: `[d]`
/// - outputs: `[batch, length, d]`
pub fn placed_layer_norm<B: Backend>(
    x: Tensor<B, 3>,
    added: Option<Tensor<B, 3>>,
    places: Tensor<B, 3>,
    [gamma, beta]: [Tensor<B, 1>; 2],
    epsilon: f64,
) -> [Tensor<B, 3>; 2] {
    let (x, added) = match added {
        Some(added) if x.dims() != added.dims() => (add_shared(added, x), None),
        added => (x, added),
    };
    #[cfg(feature = "cube")]
    {
        let parameters = parameters(&gamma, Some(&beta), epsilon);
        if let Some(outputs) = cube::placed_norm(&x, added.as_ref(), &places, &parameters) {
            return outputs;
        }
    }
    #[cfg(feature = "flex")]
    let (x, added, places, gamma, beta) = {
        let input = NormSum {
            x,
            added,
            places: Some(places),
            gamma,
            beta,
            epsilon,
            activation: None,
        };
        match norm_sum(input) {
            Ok(Normed { norm, placed, .. }) => return [norm, placed.expect("with places")],
            Err(input) => {
                let places = input.places.expect("they were given");
                (input.x, input.added, places, input.gamma, input.beta)
            }
        }
    };
    let x = match added {
        Some(added) => add(added, x),
        None => x,
    };
    let normed = layer_norm(x, gamma, beta, epsilon);
    [normed.clone(), add_shared(normed, places)]
}

/// Computes `x / sqrt(mean(x²) + epsilon) * gamma` over the last dimension, reduced in f32.
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
    #[cfg(feature = "cube")]
    if let Some(y) = cube::norm(&x, &parameters(&gamma, None, epsilon)) {
        return y;
    }
    composed::rms_norm(x, gamma, epsilon)
}

/// Computes `x + added`, and its [`rms_norm`]; on GPUs in one launch.
///
/// # Shapes
/// - x, added and outputs: `[..., d]`
/// - gamma: `[d]`
pub fn add_rms_norm<B: Backend, const D: usize>(
    [x, added]: [Tensor<B, D>; 2],
    gamma: Tensor<B, 1>,
    epsilon: f64,
) -> [Tensor<B, D>; 2] {
    #[cfg(feature = "cube")]
    if let Some(outputs) = cube::add_norm(&x, &added, &parameters(&gamma, None, epsilon)) {
        return outputs;
    }
    let sum = add(added, x);
    [sum.clone(), rms_norm(sum, gamma, epsilon)]
}

/// Parameters of a kernel, which has a shift if it is a layer norm's.
#[cfg(feature = "cube")]
fn parameters<B: Backend>(
    gamma: &Tensor<B, 1>,
    beta: Option<&Tensor<B, 1>>,
    epsilon: f64,
) -> NormParameters<B> {
    NormParameters {
        gamma: gamma.clone(),
        beta: beta.cloned(),
        epsilon,
    }
}

/// Composed forms, in burn's own tensor operations. Half values are normalised in f32, and scaled
/// in their own type.
pub(super) mod composed {
    use burn::tensor::{DType, Tensor, backend::Backend};

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
        // On a GPU these are three kernels, where burn's own form takes eleven. Scale and shift in
        // f32 would need a cast first, which prevents fusion of the rest.
        let y = standardised(x.cast(wide), epsilon).cast(dtype);
        y * gamma.cast(dtype).unsqueeze() + beta.cast(dtype).unsqueeze()
    }

    /// `(x - mean) / sqrt(var + epsilon)`.
    fn standardised<B: Backend, const D: usize>(x: Tensor<B, D>, epsilon: f64) -> Tensor<B, D> {
        let centred = x.clone() - x.mean_dim(D - 1);
        let variance = (centred.clone() * centred.clone()).mean_dim(D - 1);
        centred / variance.add_scalar(epsilon).sqrt()
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

    #[cfg(all(test, feature = "flex"))]
    mod tests {
        use super::*;
        use crate::testing::{assert_close, random};
        use burn_flex::Flex;

        /// Uses a mean that is large beside the deviation, which a variance by the mean of squares
        /// would lose.
        #[test]
        fn a_large_mean_is_taken_away() {
            let device = Default::default();
            let x = random::<Flex, 3>([2, 3, 40], 1, &device);
            let [gamma, beta] = [2, 3].map(|seed| random::<Flex, 1>([40], seed, &device));
            let normed = |x| layer_norm::<Flex, 3>(x, gamma.clone(), beta.clone(), 1e-6);
            assert_close(&normed(x.clone() + 1000.0), &normed(x), 1e-3);
        }
    }
}
