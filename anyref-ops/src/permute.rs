//! Permutation of dimensions with an immediate contiguous copy.

use burn::tensor::{Tensor, backend::Backend};

/// Permutes the dimensions of `x` into the order `axes`, contiguous in memory. Values equal those
/// of `x.permute(axes)`; use it before an operation that reads them in order (a reshape, a matrix
/// product). On CPU the copy goes by rows or tiles on all cores, forward and backward, instead of
/// value by value.
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

/// Computes the [`permute`]d copy of `x + y`; on the processor without gradients in one pass, where
/// rows and columns of one matrix are exchanged and `y` repeats one row of the result.
///
/// # Shapes
/// - x, y: the same
/// - output: dimension `i` is dimension `axes[i]` of `x`
///
/// # Panics
/// As [`permute`].
pub fn permuted_sum<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    y: Tensor<B, D>,
    axes: [usize; D],
) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let (x, y) = match super::flex::permuted_sum(x, y, axes) {
        Ok(done) => return done,
        Err(inputs) => inputs,
    };
    super::add_shared(permute(x, axes), permute(y, axes))
}
