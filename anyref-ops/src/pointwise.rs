//! Convolutions of kernel 1.

use burn::nn::conv::Conv2d;
use burn::tensor::{Tensor, backend::Backend};

use super::linear;

/// Applies a 1 × 1 convolution to channels-last input, as one product over all cells.
///
/// # Shapes
/// - x: `[batch, height, width, in]`
/// - output: `[batch, height, width, out]`
pub fn pointwise<B: Backend>(conv: &Conv2d<B>, x: Tensor<B, 4>) -> Tensor<B, 4> {
    let weight = conv.weight.val();
    let [out, input, _, _] = weight.dims();
    let [batch, height, width, _] = x.dims();
    let rows = x.reshape([batch * height * width, input]);
    let weight = weight.reshape([out, input]).transpose();
    let y = linear(rows, weight, conv.bias.as_ref().map(|bias| bias.val()));
    y.reshape([batch, height, width, out])
}
