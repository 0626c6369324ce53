//! burn's linear layer, applied by the product that every part uses.

use burn::nn::Linear;
use burn::tensor::{Tensor, backend::Backend};

/// Applies the layer by [`ops::linear`]: weights may stay in half precision, and no kernel of a GPU is asked
/// for a product that it gets wrong.
///
/// # Shapes
/// - x: `[.., d_input]`
/// - output: `[.., d_output]`
pub fn apply_linear<B: Backend, const D: usize>(
    layer: &Linear<B>,
    x: Tensor<B, D>,
) -> Tensor<B, D> {
    let bias = layer.bias.as_ref().map(|bias| bias.val());
    crate::linear(x, layer.weight.val(), bias)
}
