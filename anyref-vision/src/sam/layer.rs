//! Transformer layer of SAM's image encoder.

use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use anyref_ops::{Windows, add};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::{SamVisionAttention, SamVisionConfig};

/// Feed-forward layer (segment-anything `MLPBlock`).
#[derive(Module, Debug)]
pub struct SamMlp<B: Backend> {
    /// Expanding layer.
    pub lin1: Linear<B>,
    /// Contracting layer.
    pub lin2: Linear<B>,
}

impl<B: Backend> SamMlp<B> {
    /// Applies the layer.
    ///
    /// # Shapes
    /// - x: `[..., hidden_size]`
    /// - output: `[..., hidden_size]`
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        self.lin2.forward(self.lin1.forward_gelu(x))
    }
}

/// Pre-norm transformer layer, windowed or global (segment-anything `Block`).
#[derive(Module, Debug)]
pub struct SamVisionLayer<B: Backend> {
    /// Normalisation before the attention.
    pub layer_norm1: LayerNorm<B>,
    /// Self-attention.
    pub attn: SamVisionAttention<B>,
    /// Normalisation before the feed-forward layer.
    pub layer_norm2: LayerNorm<B>,
    /// Feed-forward layer.
    pub mlp: SamMlp<B>,
    window_size: usize,
}

impl<B: Backend> SamVisionLayer<B> {
    pub(super) fn new(config: &SamVisionConfig, index: usize, device: &B::Device) -> Self {
        let global = config.global_attn_indexes.contains(&index);
        let window_size = if global { 0 } else { config.window_size };
        let length = if window_size == 0 {
            config.grid_size()
        } else {
            window_size
        };
        let norm = LayerNormConfig::new(config.hidden_size).with_epsilon(config.layer_norm_eps);
        Self {
            layer_norm1: norm.init(device),
            attn: SamVisionAttention::new(config, length, device),
            layer_norm2: norm.init(device),
            mlp: SamMlp {
                lin1: LinearConfig::new(config.hidden_size, config.mlp_dim).init(device),
                lin2: LinearConfig::new(config.mlp_dim, config.hidden_size).init(device),
            },
            window_size,
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, hidden_size]`
    /// - output: `[batch, height, width, hidden_size]`
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [x, added] = self.step(x, None);
        add(added, x)
    }

    /// Computes two addends of the output from one or two of the input, whose sum is a part of the
    /// norm that follows.
    ///
    /// # Shapes
    /// - x, added, outputs: `[batch, height, width, hidden_size]`
    pub(super) fn step(&self, x: Tensor<B, 4>, added: Option<Tensor<B, 4>>) -> [Tensor<B, 4>; 2] {
        let [batch, height, width, hidden] = x.dims();
        let [x, normed] = match added {
            Some(added) => self.layer_norm1.forward_sum(x, added),
            None => {
                let normed = self.layer_norm1.forward(x.clone());
                [x, normed]
            }
        };
        // Padding comes after the norm and is attended to, as in the reference.
        let mixed = if self.window_size > 0 {
            let windows = Windows::new([height, width], self.window_size);
            windows.merge(self.attn.forward(windows.partition(normed)))
        } else {
            self.attn.forward(normed)
        };
        let rows = |x: Tensor<B, 4>| x.reshape([batch * height * width, hidden]);
        let [x, normed] = self.layer_norm2.forward_sum(rows(x), rows(mixed));
        [x, self.mlp.forward(normed)].map(|rows| rows.reshape([batch, height, width, hidden]))
    }
}
