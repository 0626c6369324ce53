//! Matrix product that avoids inner dimensions for which GPU kernels give wrong results.

use super::dispatch::{BackendKind, on_processor};
use super::permute::permute;
use burn::tensor::{Tensor, backend::Backend};

/// Columns of zeros that make any unsafe inner dimension safe.
const PADDING: usize = 4;
/// Alignment of sizes that suits every matrix product kernel of burn on GPUs: rows are read as
/// whole vectors, and every step size divides it an even number of times.
pub const ALIGNMENT: usize = 128;

/// Computes `lhs · rhs`, with batch dimensions broadcast.
///
/// The double-buffered kernels of cubek-matmul 0.2, which burn 0.21 may choose on every GPU,
/// traverse the inner dimension in steps of 8 to 64 values, two steps a turn. They check bounds
/// only if the step does not divide the dimension: if it does and the number of steps is odd, the
/// last step adds values from behind the operands (burn's issue 4966, where products are near
/// zero). Dimensions with this fault are padded with zeros, either to a size that all steps divide
/// an even number of times or to one that none divides, for which bounds are checked. The gradients
/// of a product are products over its rows and over its columns, so on a backend with gradients
/// these are padded too, and the output is cut.
///
/// # Shapes
/// - lhs: `[.., m, k]`
/// - rhs: `[.., k, n]`
/// - output: `[.., m, n]`
pub fn matmul<B: Backend, const D: usize>(lhs: Tensor<B, D>, rhs: Tensor<B, D>) -> Tensor<B, D> {
    match on_processor::<B>() {
        true => lhs.matmul(rhs),
        false => safe(lhs, rhs, false),
    }
}

/// Computes `lhs · rhsᵀ`. Pads along the contiguous dimension, which [`matmul`] of the transposed
/// operand would pad with a stride.
///
/// # Shapes
/// - lhs: `[.., m, k]`
/// - rhs: `[.., n, k]`
/// - output: `[.., m, n]`
pub fn matmul_transposed<B: Backend, const D: usize>(
    lhs: Tensor<B, D>,
    rhs: Tensor<B, D>,
) -> Tensor<B, D> {
    match on_processor::<B>() {
        true => lhs.matmul(rhs.swap_dims(D - 2, D - 1)),
        false => safe(lhs, rhs, true),
    }
}

/// Computes `x · columnsᵀ` of a few rows and many short columns. GPUs without gradients take one
/// launch for up to 8 rows and a length of up to 64, the CPU one pass over the columns; otherwise
/// the CPU computes `columns · xᵀ` and transposes it.
///
/// # Shapes
/// - x: `[batch, n, d]`
/// - columns: `[batch, count, d]`
/// - output: `[batch, n, count]`
pub fn short_columns<B: Backend>(x: Tensor<B, 3>, columns: Tensor<B, 3>) -> Tensor<B, 3> {
    #[cfg(feature = "cube")]
    if let Some(product) = super::cube::short_columns(&x, &columns, None) {
        return product;
    }
    #[cfg(feature = "flex")]
    let (x, columns) = match super::flex::short_columns(x, columns) {
        Ok(product) => return product,
        Err(inputs) => inputs,
    };
    match on_processor::<B>() {
        // Columns lie in rows, and a few rows of the product are cheaper to transpose.
        true => permute(matmul(columns, x.swap_dims(1, 2)), [0, 2, 1]),
        false => matmul_transposed(x, columns),
    }
}

/// Computes the product on a backend that may have wrong kernels.
fn safe<B: Backend, const D: usize>(
    lhs: Tensor<B, D>,
    rhs: Tensor<B, D>,
    transposed: bool,
) -> Tensor<B, D> {
    let (inner, across) = match transposed {
        true => (D - 1, D - 2),
        false => (D - 2, D - 1),
    };
    let (rows, columns) = (lhs.dims()[D - 2], rhs.dims()[across]);
    let (mut lhs, mut rhs) = if is_safe(lhs.dims()[D - 1]) {
        (lhs, rhs)
    } else {
        (padded(lhs, D - 1), padded(rhs, inner))
    };
    if BackendKind::of::<B>(&lhs.device()).has_gradients() {
        if !is_safe(rows) {
            lhs = padded(lhs, D - 2);
        }
        if !is_safe(columns) {
            rhs = padded(rhs, across);
        }
    }
    if transposed {
        rhs = rhs.swap_dims(D - 2, D - 1);
    }
    let mut product = lhs.matmul(rhs);
    for (dim, size) in [(D - 2, rows), (D - 1, columns)] {
        if product.dims()[dim] != size {
            product = product.narrow(dim, 0, size);
        }
    }
    match rows {
        1 => alone(product),
        _ => product,
    }
}

/// Prevents burn's fusion from joining the product with the operation that follows: for one row and
/// a transposed operand, the only fused kernel of burn 0.21 gives wrong values
/// (`fused_gemv_unit_perpendicular`, seen on Vulkan). A flattened shape cannot be fused; nothing is
/// copied.
fn alone<B: Backend, const D: usize>(product: Tensor<B, D>) -> Tensor<B, D> {
    let shape = product.dims();
    product.flatten::<1>(0, D - 1).reshape(shape)
}

/// Returns whether no step of 8, 16, 32 or 64 values divides the inner dimension an odd number of
/// times.
pub(super) fn is_safe(inner: usize) -> bool {
    !(3..=6).contains(&inner.trailing_zeros())
}

/// Inner dimension after padding, if any.
pub(super) fn safe_size(inner: usize) -> usize {
    match is_safe(inner) {
        true => inner,
        false => padded_size(inner),
    }
}

/// Size to which an unsafe inner dimension is padded: the next multiple of [`ALIGNMENT`] if that is
/// at most half as much again, otherwise the next safe one.
fn padded_size(inner: usize) -> usize {
    let even = inner.next_multiple_of(ALIGNMENT);
    match 2 * even <= 3 * inner {
        true => even,
        false => inner + PADDING,
    }
}

fn padded<B: Backend, const D: usize>(x: Tensor<B, D>, dim: usize) -> Tensor<B, D> {
    let size = padded_size(x.dims()[dim]);
    extended(x, dim, size)
}

/// Appends zeros to `x` along one dimension, up to `size`.
pub(super) fn extended<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    dim: usize,
    size: usize,
) -> Tensor<B, D> {
    let mut shape = x.dims();
    let ranges = shape.map(|size| 0..size);
    shape[dim] = size;
    Tensor::zeros(shape, (&x.device(), x.dtype())).slice_assign(ranges, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, random};
    use burn::backend::Autodiff;
    use burn_flex::Flex;

    #[test]
    fn padding_makes_every_inner_dimension_safe() {
        let odd_steps = |inner: usize| {
            [8, 16, 32, 64]
                .into_iter()
                .any(|step| inner.is_multiple_of(step) && (inner / step) % 2 == 1)
        };
        for inner in 1..2000 {
            assert_eq!(is_safe(inner), !odd_steps(inner), "{inner}");
            let padded = padded_size(inner);
            assert!(
                is_safe(inner) || is_safe(padded) && inner < padded,
                "{inner}"
            );
            assert!(2 * padded <= 3 * inner.max(8), "{inner}");
        }
    }

    /// Covers rows, inner dimensions and columns that are and are not safe, with a broadcast batch.
    #[test]
    fn padding_changes_neither_products_nor_gradients() {
        type B = Autodiff<Flex>;
        let device = Default::default();
        for [m, k, n] in [
            [6, 8, 24],
            [8, 7, 6],
            [40, 24, 8],
            [5, 6, 7],
            [64, 64, 64],
            [7, 112, 400],
        ] {
            let along = random::<B, 3>([3, m, n], 3, &device);
            let run = |product: fn(Tensor<B, 3>, Tensor<B, 3>) -> Tensor<B, 3>| {
                let lhs = random::<B, 3>([3, m, k], 1, &device).require_grad();
                let rhs = random::<B, 3>([1, k, n], 2, &device).require_grad();
                let y = product(lhs.clone(), rhs.clone());
                let grads = (y.clone() * along.clone()).sum().backward();
                [
                    y.inner(),
                    lhs.grad(&grads).unwrap(),
                    rhs.grad(&grads).unwrap(),
                ]
            };
            let plain = run(|lhs, rhs| lhs.matmul(rhs));
            let straight = run(|lhs, rhs| safe(lhs, rhs, false));
            let across = run(|lhs, rhs| safe(lhs, rhs.swap_dims(1, 2), true));
            for found in [straight, across] {
                for (found, expected) in found.iter().zip(&plain) {
                    assert_close(found, expected, 1e-5);
                }
            }
        }
    }
}
