//! Convolutions of kernel 1.

use burn::nn::conv::Conv2d;
use burn::tensor::{Tensor, backend::Backend};

use super::matmul;

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
    let y = matmul(rows, weight.reshape([out, input]).transpose());
    let y = match &conv.bias {
        Some(bias) => y + bias.val().unsqueeze(),
        None => y,
    };
    y.reshape([batch, height, width, out])
}
