//! Projection from the width of a tower to the width of the language model.

use anyref_ops::gelu;
use anyref_ops::nn::{Linear, LinearConfig};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use serde::{Deserialize, Serialize};

/// Shape of a [`Projector`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ProjectorKind {
    /// One linear layer (LLaVA 1.0 and Lightning).
    #[default]
    #[serde(rename = "linear")]
    Linear,
    /// Two linear layers with a GELU between them (LLaVA 1.5).
    #[serde(rename = "mlp2x_gelu")]
    Mlp2xGelu,
}

/// Configuration of a [`Projector`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectorConfig {
    /// Width of the features.
    pub input_size: usize,
    /// Width between the two layers; defaults to the output's. Unused by [`ProjectorKind::Linear`].
    #[serde(default)]
    pub hidden_size: Option<usize>,
    /// Width of the result.
    pub output_size: usize,
    /// Number of layers: one or two.
    #[serde(default)]
    pub kind: ProjectorKind,
}

impl ProjectorConfig {
    /// Configuration of one linear layer.
    pub fn new(input_size: usize, output_size: usize) -> Self {
        Self {
            input_size,
            hidden_size: None,
            output_size,
            kind: ProjectorKind::Linear,
        }
    }

    /// Sets [`kind`](Self::kind).
    pub fn with_kind(mut self, kind: ProjectorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Creates the projector with random weights.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Projector<B> {
        let linear = |input, output| LinearConfig::new(input, output).init(device);
        match self.kind {
            ProjectorKind::Linear => Projector {
                linear_1: linear(self.input_size, self.output_size),
                linear_2: None,
            },
            ProjectorKind::Mlp2xGelu => {
                let hidden = self.hidden_size.unwrap_or(self.output_size);
                Projector {
                    linear_1: linear(self.input_size, hidden),
                    linear_2: Some(linear(hidden, self.output_size)),
                }
            }
        }
    }
}

/// LLaVA's `mm_projector` (transformers `LlavaMultiModalProjector`).
#[derive(Module, Debug)]
pub struct Projector<B: Backend> {
    /// First or only layer.
    pub linear_1: Linear<B>,
    /// Layer after the GELU.
    pub linear_2: Option<Linear<B>>,
}

impl<B: Backend> Projector<B> {
    /// Projects features to the width of the language model.
    ///
    /// # Shapes
    /// - features: `[..., input_size]`
    /// - output: `[..., output_size]`
    pub fn forward<const D: usize>(&self, features: Tensor<B, D>) -> Tensor<B, D> {
        let x = self.linear_1.forward(features);
        match &self.linear_2 {
            Some(second) => second.forward(gelu(x)),
            None => x,
        }
    }
}
