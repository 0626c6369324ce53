//! Operations on weights in planes.

use core::ops::Range;

use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::kernel;
use crate::blocks::PlaneLayout;
use crate::cube::backend::{Input, KernelBackend, floats};
use crate::cube::operation::{KernelOperation, TensorType, exactly};

/// Operation on a weight in planes of words, `[rows, words of a row]`.
#[derive(Debug, Clone)]
struct BlockOperation {
    layout: PlaneLayout,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Product of `x`, `[n, columns]`, and the weight of the words: `[n, rows]` in the type of `x`.
    Product,
    /// Values of a range of rows of the words, `[range.len(), columns]`.
    Range(Range<usize>, DType),
    /// Values of the rows of some indices: inputs are words and indices, the output is
    /// `[indices, columns]`.
    Rows(DType),
}

impl KernelOperation for BlockOperation {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Product => "anyref.block_product",
            Kind::Range(..) => "anyref.block_range",
            Kind::Rows(_) => "anyref.block_rows",
        }
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let PlaneLayout { rows, columns, .. } = self.layout;
        vec![match (&self.kind, inputs) {
            (Kind::Product, [x, _]) => {
                let [n, _] = x.dims();
                TensorType::new([n, rows], x.dtype)
            }
            (Kind::Rows(dtype), [_, indices]) => {
                let [count] = indices.dims();
                TensorType::new([count, columns], *dtype)
            }
            (Kind::Range(range, dtype), [_]) => TensorType::new([range.len(), columns], *dtype),
            (kind, inputs) => panic!("{} inputs of {kind:?}", inputs.len()),
        }]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        vec![match self.kind {
            Kind::Product => {
                let [x, words] = exactly(inputs);
                kernel::product(x, words, self.layout)
            }
            Kind::Range(range, dtype) => {
                let [words] = exactly(inputs);
                kernel::range(words, self.layout, range, dtype)
            }
            Kind::Rows(dtype) => {
                let [words, indices] = exactly(inputs);
                kernel::rows(words, indices, self.layout, dtype)
            }
        }]
    }
}

fn run<B: KernelBackend>(layout: PlaneLayout, kind: Kind, inputs: Vec<Input<B>>) -> Tensor<B, 2> {
    let [output] = exactly(B::run(BlockOperation { layout, kind }, inputs));
    floats::<B, 2>(output)
}

/// Computes `x · weightᵀ` without widening the weight in memory.
///
/// # Shapes
/// - x: `[n, columns]`
/// - words: `[rows, words of a row]`
/// - output: `[n, rows]`, in the type of `x`
pub(super) fn block_product<B: KernelBackend>(
    x: Tensor<B, 2>,
    words: Tensor<B, 2, Int>,
    layout: PlaneLayout,
) -> Tensor<B, 2> {
    run(layout, Kind::Product, vec![x.into(), words.into()])
}

/// Values of a range of a weight's rows, `[range.len(), columns]`.
pub(super) fn block_range<B: KernelBackend>(
    words: Tensor<B, 2, Int>,
    layout: PlaneLayout,
    range: Range<usize>,
    dtype: DType,
) -> Tensor<B, 2> {
    run(layout, Kind::Range(range, dtype), vec![words.into()])
}

/// Values of the rows of some indices, `[indices, columns]`; an index beyond the last row stands
/// for the last one.
pub(super) fn block_rows<B: KernelBackend>(
    words: Tensor<B, 2, Int>,
    indices: Tensor<B, 1, Int>,
    layout: PlaneLayout,
    dtype: DType,
) -> Tensor<B, 2> {
    run(
        layout,
        Kind::Rows(dtype),
        vec![words.into(), indices.into()],
    )
}
