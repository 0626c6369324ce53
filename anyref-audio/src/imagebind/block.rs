//! Transformer block: attention and MLP, each with a pre-normalisation and a residual connection.

use anyref_ops::add;
use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::config::Config;
use burn::module::{Initializer, Module};
use burn::tensor::{Tensor, backend::Backend};

use super::attention::{MultiheadAttention, MultiheadAttentionConfig};

/// Configuration of [`Block`].
#[derive(Config, Debug)]
pub struct BlockConfig {
    /// Attention; its width is that of the tokens.
    pub attention: MultiheadAttentionConfig,
    /// Ratio of the MLP's width to that of the tokens.
    #[config(default = 4.0)]
    pub mlp_ratio: f64,
    /// Epsilon of the normalisations.
    #[config(default = 1e-6)]
    pub layer_norm_eps: f64,
}

impl BlockConfig {
    /// Creates the block.
    ///
    /// # Panics
    /// If the heads do not divide the width.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Block<B> {
        let h = self.attention.hidden_size;
        let inner = (h as f64 * self.mlp_ratio) as usize;
        let norm = LayerNormConfig::new(h).with_epsilon(self.layer_norm_eps);
        let linear = |input, output| {
            LinearConfig::new(input, output)
                .with_initializer(Initializer::XavierUniform { gain: 1.0 })
                .init(device)
        };
        Block {
            attn: self.attention.init(device),
            norm_1: norm.init(device),
            mlp: Mlp {
                fc1: linear(h, inner),
                fc2: linear(inner, h),
            },
            norm_2: norm.init(device),
        }
    }
}

/// Pre-norm transformer block: `x + attn(norm_1(x))`, then `x + mlp(norm_2(x))`.
///
/// Should be created with [`BlockConfig`].
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    /// Self-attention.
    pub attn: MultiheadAttention<B>,
    /// Normalisation before the attention.
    pub norm_1: LayerNorm<B>,
    /// Token-wise network.
    pub mlp: Mlp<B>,
    /// Normalisation before the MLP.
    pub norm_2: LayerNorm<B>,
}

impl<B: Backend> Block<B> {
    /// Applies the block.
    ///
    /// # Shapes
    /// - x: `[batch, tokens, hidden]`
    /// - output: `[batch, tokens, hidden]`
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let [x, added] = self.step(x, None);
        add(added, x)
    }

    /// Computes two addends of the output from one or two of the input, whose sum is a part of the
    /// norm that follows.
    ///
    /// # Shapes
    /// - x, added, outputs: `[batch, tokens, hidden]`
    pub(super) fn step(&self, x: Tensor<B, 3>, added: Option<Tensor<B, 3>>) -> [Tensor<B, 3>; 2] {
        let [_, tokens, _] = x.dims();
        self.step_first(x, added, tokens)
    }

    /// [`step`](Self::step) whose output has the first `count` tokens alone.
    ///
    /// # Shapes
    /// - x, added: `[batch, tokens, hidden]`
    /// - outputs: `[batch, count, hidden]`
    pub(super) fn step_first(
        &self,
        x: Tensor<B, 3>,
        added: Option<Tensor<B, 3>>,
        count: usize,
    ) -> [Tensor<B, 3>; 2] {
        let [x, normed] = match added {
            Some(added) => self.norm_1.forward_sum(x, added),
            None => {
                let normed = self.norm_1.forward(x.clone());
                [x, normed]
            }
        };
        let mixed = self.attn.forward_first(normed, count);
        let [_, tokens, _] = x.dims();
        let x = if count < tokens {
            x.narrow(1, 0, count)
        } else {
            x
        };
        let [x, normed] = self.norm_2.forward_sum(x, mixed);
        [x, self.mlp.forward(normed)]
    }
}

/// MLP: linear, GELU, linear.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    /// Expanding layer, `hidden -> hidden * mlp_ratio`.
    pub fc1: Linear<B>,
    /// Contracting layer, `hidden * mlp_ratio -> hidden`.
    pub fc2: Linear<B>,
}

impl<B: Backend> Mlp<B> {
    /// Applies the MLP to each token.
    ///
    /// # Shapes
    /// - x: `[batch, tokens, hidden]`
    /// - output: `[batch, tokens, hidden]`
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        self.fc2.forward(self.fc1.forward_gelu(x))
    }
}
