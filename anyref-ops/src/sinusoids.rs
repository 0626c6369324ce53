//! Sines and cosines of angles.

use burn::tensor::{Tensor, backend::Backend};

/// Computes `[sin(x), cos(x)]`, joined along the last dimension.
///
/// # Shapes
/// - x: `[.., n]`
/// - output: `[.., 2 * n]`
pub fn sinusoids<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match super::flex::sinusoids(x) {
        Ok(y) => return y,
        Err(x) => x,
    };
    Tensor::cat(vec![x.clone().sin(), x.cos()], D - 1)
}
