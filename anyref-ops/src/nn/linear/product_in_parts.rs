//! Products of floats with a weight in blocks.

use core::ops::Range;

use burn::tensor::{Tensor, backend::Backend};

/// Maximum number of values dequantized at once, unless one output has more.
const AT_ONCE: usize = 4 * 1024 * 1024;

/// Computes some of the outputs of `x · weight + bias`, with a bounded number of weights as floats
/// at once. `dequantize` returns the weights of a range of outputs, `[d_input, outputs.len()]`.
///
/// # Shapes
/// - x: `[.., d_input]`
/// - bias: `[outputs.len()]`
/// - output: `[.., outputs.len()]`, in the type of `x`
pub(super) fn product_in_parts<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    d_input: usize,
    outputs: Range<usize>,
    bias: Option<Tensor<B, 1>>,
    dequantize: impl Fn(Range<usize>) -> Tensor<B, 2>,
) -> Tensor<B, D> {
    let step = (AT_ONCE / d_input.max(1)).max(1);
    let products = outputs.clone().step_by(step).map(|first| {
        let last = (first + step).min(outputs.end);
        let bias = bias.clone();
        let bias = bias.map(|bias| bias.narrow(0, first - outputs.start, last - first));
        crate::linear(x.clone(), dequantize(first..last), bias)
    });
    let mut products: Vec<_> = products.collect();
    match products.len() {
        1 => products.remove(0),
        _ => Tensor::cat(products, D - 1),
    }
}
