//! Gated feed-forward network (SwiGLU).

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::config::LlamaConfig;
use crate::lora::LoraLinear;

/// Feed-forward network of one decoder layer: `down(silu(gate(x)) · up(x))`.
#[derive(Module, Debug)]
pub struct LlamaMlp<B: Backend> {
    /// Gate projection.
    pub gate_proj: LoraLinear<B>,
    /// Projection that the gate multiplies.
    pub up_proj: LoraLinear<B>,
    /// Projection back to the residual stream.
    pub down_proj: LoraLinear<B>,
}

impl<B: Backend> LlamaMlp<B> {
    pub(crate) fn new(config: &LlamaConfig, device: &B::Device) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let projection = |d_input, d_output| {
            LoraLinear::new(
                [d_input, d_output],
                config.mlp_bias,
                config.initializer_range,
                device,
            )
        };
        Self {
            gate_proj: projection(hidden, inner),
            up_proj: projection(hidden, inner),
            down_proj: projection(inner, hidden),
        }
    }

    /// Applies the gated MLP.
    ///
    /// # Shapes
    /// - x and output: `[batch, length, hidden]`
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let inner = LoraLinear::forward_gated(&self.gate_proj, &self.up_proj, x);
        self.down_proj.forward(inner)
    }
}
