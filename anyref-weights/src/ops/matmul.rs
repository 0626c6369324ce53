//! The matrix product, kept away from inner dimensions that GPU kernels get wrong.

use burn::tensor::{Tensor, backend::Backend};

/// Columns of zeros that make any inner dimension a safe one.
const PADDING: usize = 4;

/// `lhs · rhs`, with batch dimensions broadcast.
///
/// The double-buffered kernels of cubek-matmul 0.2, which burn 0.21 may choose on every GPU, go over the
/// inner dimension in steps of 8 to 64 values and two steps a turn. They check bounds only where a step
/// does not divide the dimension: where it does and the number of steps is odd, the last step adds what
/// lies behind the operands (seen in burn's issue 4966 as products that are near zero). Such dimensions
/// are padded with zeros here, so that bounds are checked. The gradients of a product are products too,
/// and not padded.
///
/// # Shapes
/// - lhs: `[.., m, k]`
/// - rhs: `[.., k, n]`
/// - output: `[.., m, n]`
pub fn matmul<B: Backend, const D: usize>(lhs: Tensor<B, D>, rhs: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    if super::flex::route::<B>().is_some() {
        return lhs.matmul(rhs);
    }
    if is_safe(lhs.dims()[D - 1]) {
        return lhs.matmul(rhs);
    }
    padded(lhs, D - 1).matmul(padded(rhs, D - 2))
}

/// Whether no step of 8, 16, 32 or 64 values goes an odd number of times into the inner dimension.
fn is_safe(inner: usize) -> bool {
    !(3..=6).contains(&inner.trailing_zeros())
}

fn padded<B: Backend, const D: usize>(x: Tensor<B, D>, dim: usize) -> Tensor<B, D> {
    let mut shape = x.dims();
    shape[dim] = PADDING;
    let zeros = Tensor::zeros(shape, (&x.device(), x.dtype()));
    Tensor::cat(vec![x, zeros], dim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_makes_every_inner_dimension_safe() {
        let odd_steps = |inner: usize| {
            [8, 16, 32, 64]
                .into_iter()
                .any(|step| inner.is_multiple_of(step) && (inner / step) % 2 == 1)
        };
        for inner in 1..2000 {
            assert_eq!(is_safe(inner), !odd_steps(inner), "{inner}");
            assert!(is_safe(inner) || is_safe(inner + PADDING), "{inner}");
        }
    }
}
