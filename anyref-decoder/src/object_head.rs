//! Projection of a language model state to a prompt of the mask decoder.

use anyref_ops::nn::{Linear, LinearConfig};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

/// Configuration of an [`ObjectHead`].
#[derive(Config, Debug)]
pub struct ObjectHeadConfig {
    /// Width of the language model.
    pub input_dim: usize,
    /// Width of the mask decoder's prompts.
    pub output_dim: usize,
}

impl ObjectHeadConfig {
    /// Creates the layers with PyTorch's initialisation.
    pub fn init<B: Backend>(&self, device: &B::Device) -> ObjectHead<B> {
        ObjectHead {
            fc1: LinearConfig::new(self.input_dim, self.input_dim).init(device),
            fc2: LinearConfig::new(self.input_dim, self.output_dim).init(device),
        }
    }
}

/// Computes `fc2(relu(fc1(x)))`, the authors' `text_hidden_fcs`.
#[derive(Module, Debug)]
pub struct ObjectHead<B: Backend> {
    /// Layer within the language model's width (`text_hidden_fcs.0.0`).
    pub fc1: Linear<B>,
    /// Layer to the prompts' width (`text_hidden_fcs.0.2`).
    pub fc2: Linear<B>,
}

impl<B: Backend> ObjectHead<B> {
    /// Projects states of the language model to prompts of the mask decoder.
    ///
    /// # Shapes
    /// - x: `[..., input_dim]`
    /// - output: `[..., output_dim]`
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        self.fc2.forward(self.fc1.forward_relu(x))
    }
}
