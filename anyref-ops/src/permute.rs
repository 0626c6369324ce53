//! Changing the order of dimensions, with the values put in that order at once.

use burn::tensor::{Tensor, backend::Backend};

/// `x` with its dimensions in the order `axes`, its values in memory in that order. The same numbers as
/// `x.permute(axes)`, for uses that read them in order next (a reshape, a matrix product): on CPU the copy
/// goes by rows or tiles on all cores, forward and backward, instead of value by value.
///
/// # Shapes
/// - axes: each dimension of `x` once
/// - output: dimension `i` is dimension `axes[i]` of `x`
///
/// # Panics
/// When `axes` names a dimension that `x` does not have.
pub fn permute<B: Backend, const D: usize>(x: Tensor<B, D>, axes: [usize; D]) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match super::flex::permute(x, axes) {
        Ok(done) => return done,
        Err(x) => x,
    };
    x.permute(axes.map(|axis| axis as isize))
}
