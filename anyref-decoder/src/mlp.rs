//! Multi-layer perceptron of the mask decoder.

use core::ops::Range;

use anyref_ops::nn::{Head, Linear, LinearConfig};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

/// Configuration of an [`Mlp`].
#[derive(Config, Debug)]
pub struct MlpConfig {
    /// Width of the input.
    pub input_dim: usize,
    /// Width between the layers.
    pub hidden_dim: usize,
    /// Width of the output.
    pub output_dim: usize,
    /// Number of linear layers, at least 1.
    pub num_layers: usize,
}

impl MlpConfig {
    /// Creates the layers with PyTorch's initialisation.
    ///
    /// # Panics
    /// When `num_layers` is 0.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Mlp<B> {
        assert!(self.num_layers > 0, "an MLP needs at least one layer");
        let last = self.num_layers - 1;
        let layers = (0..self.num_layers)
            .map(|index| {
                let input = if index == 0 {
                    self.input_dim
                } else {
                    self.hidden_dim
                };
                let output = if index == last {
                    self.output_dim
                } else {
                    self.hidden_dim
                };
                LinearConfig::new(input, output).init(device)
            })
            .collect();
        Mlp { layers }
    }
}

/// Linear layers with ReLU between them (segment-anything `mask_decoder.py`, `MLP`).
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    /// Linear layers, first to last.
    pub layers: Vec<Linear<B>>,
}

impl<B: Backend> Mlp<B> {
    /// Applies the layers in order.
    ///
    /// # Shapes
    /// - x: `[..., input_dim]`
    /// - output: `[..., output_dim]`
    ///
    /// # Panics
    /// When there is no layer.
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        let (last, hidden) = self
            .layers
            .split_last()
            .expect("an MLP has at least one layer");
        let x = hidden.iter().fold(x, |x, layer| layer.forward_relu(x));
        last.forward(x)
    }

    /// Head over one token, for some of the outputs.
    pub(crate) fn head(&self, token: usize, outputs: Range<usize>) -> Head<'_, B> {
        Head {
            token,
            layers: &self.layers,
            outputs,
        }
    }

    /// Number of outputs.
    ///
    /// # Panics
    /// When there is no layer.
    pub(crate) fn output_dim(&self) -> usize {
        let last = self.layers.last().expect("an MLP has at least one layer");
        let [_, outputs] = last.weight.dims();
        outputs
    }
}
