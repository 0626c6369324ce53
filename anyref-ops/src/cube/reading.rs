//! Places of values in views.

use cubecl::prelude::*;

/// Place of the first vector of a row of `[batch, heads, length, d]`, of any strides but the last.
#[cube]
pub(super) fn row_start<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    batch: usize,
    head: usize,
    index: usize,
) -> usize {
    (batch * x.stride(0) + head * x.stride(1) + index * x.stride(2)) / x.vector_size()
}
