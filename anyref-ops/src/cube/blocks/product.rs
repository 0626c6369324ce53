//! Products of a weight in blocks and any number of rows, and the gradient of the rows.

use burn::tensor::{DType, Int, Tensor};

use super::operation::{block_product, block_range};
use crate::blocks::PlaneLayout;
use crate::cube::backend::KernelBackend;

/// Rows up to which a kernel decodes the weight as it multiplies. For more, parts of the weight are
/// widened, so that the device's matrix units multiply them.
pub(super) const DECODED: usize = 64;
/// Weights that are floats at once, unless one output has more.
pub(super) const AT_ONCE: usize = 4 * 1024 * 1024;

/// First rows of the parts that are widened at once, and their number.
fn parts(layout: &PlaneLayout) -> (impl Iterator<Item = usize>, usize) {
    let step = (AT_ONCE / layout.columns.max(1)).max(1);
    ((0..layout.rows).step_by(step), step)
}

/// Computes `x · weightᵀ`.
///
/// # Shapes
/// - x: `[n, columns]`
/// - words: `[rows, words of a row]`
/// - output: `[n, rows]`, in the type of `x`
pub(super) fn product<B: KernelBackend>(
    x: Tensor<B, 2>,
    words: Tensor<B, 2, Int>,
    layout: PlaneLayout,
) -> Tensor<B, 2> {
    let [n, _] = x.dims();
    if n == 0 || layout.rows == 0 {
        return Tensor::zeros([n, layout.rows], (&x.device(), x.dtype()));
    }
    if n <= DECODED {
        return block_product(x, words, layout);
    }
    let (firsts, step) = parts(&layout);
    let products = firsts.map(|first| {
        let range = first..(first + step).min(layout.rows);
        let part = block_range(words.clone(), layout, range, x.dtype());
        crate::linear(x.clone(), part.transpose(), None)
    });
    let mut products: Vec<_> = products.collect();
    match products.len() {
        1 => products.remove(0),
        _ => Tensor::cat(products, 1),
    }
}

/// Computes `gradient · weight`, the gradient of the rows, for which some outputs are widened at a
/// time.
///
/// # Shapes
/// - gradient: `[n, rows]`
/// - output: `[n, columns]`, in the type of `gradient`; sums over parts are f32
pub(super) fn input_gradient<B: KernelBackend>(
    gradient: Tensor<B, 2>,
    words: Tensor<B, 2, Int>,
    layout: PlaneLayout,
) -> Tensor<B, 2> {
    let ([n, _], dtype) = (gradient.dims(), gradient.dtype());
    let (firsts, step) = parts(&layout);
    let products = firsts.map(|first| {
        let range = first..(first + step).min(layout.rows);
        let along = gradient.clone().narrow(1, first, range.len());
        let part = block_range(words.clone(), layout, range, dtype);
        crate::matmul(along, part)
    });
    let sum = products.reduce(|sum, part| sum.cast(DType::F32) + part.cast(DType::F32));
    match sum {
        Some(sum) => sum.cast(dtype),
        None => Tensor::zeros([n, layout.columns], (&gradient.device(), dtype)),
    }
}
