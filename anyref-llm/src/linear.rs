//! Linear layers with LLaMA's initialisation.

use anyref_ops::nn::{Linear, LinearConfig};
use burn::module::Initializer;
use burn::tensor::backend::Backend;

/// Creates a linear layer with weights drawn from `normal(0, std)` and a zero bias.
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
