//! Sums of tensors, and with a tensor that a whole batch shares.

#[cfg(feature = "flex")]
use super::flex;
use burn::tensor::{Tensor, backend::Backend};

/// Computes `x + shared`, where one `shared` serves a whole batch, such as the positions of a
/// picture's cells, or where both have one shape.
///
/// # Shapes
/// - x and output: `[batch, ..]`
/// - shared: `[1, ..]`, or that of `x`
pub fn add_shared<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    shared: Tensor<B, D>,
) -> Tensor<B, D> {
    if x.dims() == shared.dims() {
        return add(x, shared);
    }
    #[cfg(feature = "flex")]
    let (x, shared) = match flex::add_shared(x, shared) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    x + shared
}

/// Computes `x + y`. On the CPU all threads add, in the memory of either if nothing else needs it.
///
/// # Shapes
/// - x, y and output: the same
pub fn add<B: Backend, const D: usize>(x: Tensor<B, D>, y: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let (x, y) = match flex::add(x, y) {
        Ok(sum) => return sum,
        Err(inputs) => inputs,
    };
    x + y
}
