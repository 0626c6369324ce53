//! Operations of a backend that reads weights in blocks.

use core::ops::Range;

use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Int, Tensor, TensorPrimitive};

use crate::blocks::PlaneLayout;

/// Backend with kernels that read weights in blocks.
pub(super) trait BlockBackend: Backend {
    /// Computes `x · weightᵀ` without widening the weight in memory.
    ///
    /// # Shapes
    /// - x: `[n, columns]`
    /// - words: `[rows, words of a row]`
    /// - output: `[n, rows]`, in the type of `x`
    fn block_product(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        layout: PlaneLayout,
    ) -> FloatTensor<Self>;

    /// Widens some rows, `[range.len(), columns]`.
    fn block_range(
        words: IntTensor<Self>,
        layout: PlaneLayout,
        range: Range<usize>,
        dtype: DType,
    ) -> FloatTensor<Self>;

    /// Widens the rows of these indices, `[indices, columns]`; an index beyond the last row stands
    /// for the last one.
    fn block_rows(
        words: IntTensor<Self>,
        indices: IntTensor<Self>,
        layout: PlaneLayout,
        dtype: DType,
    ) -> FloatTensor<Self>;
}

/// Tensor of a primitive.
pub(super) fn floats<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// Values of a range of a weight's rows, `[range.len(), columns]`.
pub(super) fn widened<B: BlockBackend>(
    words: &Tensor<B, 2, Int>,
    layout: PlaneLayout,
    range: Range<usize>,
    dtype: DType,
) -> Tensor<B, 2> {
    let words = words.clone().into_primitive();
    floats::<B, 2>(B::block_range(words, layout, range, dtype))
}
