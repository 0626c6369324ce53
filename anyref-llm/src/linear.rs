//! Linear layers over a batch of sequences as one matrix product.

use burn::module::Initializer;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Tensor, backend::Backend};

/// A linear layer with weights drawn from `normal(0, std)` and a zero bias.
pub(crate) fn normal_linear<B: Backend>(
    d_input: usize,
    d_output: usize,
    bias: bool,
    std: f64,
    device: &B::Device,
) -> Linear<B> {
    let mut linear = LinearConfig::new(d_input, d_output)
        .with_bias(false)
        .with_initializer(Initializer::Normal { mean: 0.0, std })
        .init(device);
    linear.bias = bias.then(|| Initializer::Zeros.init([d_output], device));
    linear
}

/// Applies the layer to all positions at once, since a batched product would be one product a row.
///
/// # Shapes
/// - x: `[batch, length, d_input]`
/// - output: `[batch, length, d_output]`
pub(crate) fn apply_linear<B: Backend>(linear: &Linear<B>, x: Tensor<B, 3>) -> Tensor<B, 3> {
    let [batch, length, d_input] = x.dims();
    let y = linear.forward(x.reshape([batch * length, d_input]));
    let [_, d_output] = y.dims();
    y.reshape([batch, length, d_output])
}
