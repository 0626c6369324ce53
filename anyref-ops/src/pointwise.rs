//! Convolutions of kernel 1.

use burn::tensor::{Tensor, backend::Backend};

use super::matmul;

/// A 1 × 1 convolution where channels are last: one product over all cells.
///
/// # Shapes
/// - x: `[batch, height, width, in]`
/// - weight: `[out, in, 1, 1]`, as `torch.nn.Conv2d` has it
/// - bias: `[out]`
/// - output: `[batch, height, width, out]`
pub fn pointwise<B: Backend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    bias: Option<Tensor<B, 1>>,
) -> Tensor<B, 4> {
    let [out, input, _, _] = weight.dims();
    let [batch, height, width, _] = x.dims();
    let rows = x.reshape([batch * height * width, input]);
    let y = matmul(rows, weight.reshape([out, input]).transpose());
    let y = match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    };
    y.reshape([batch, height, width, out])
}
