//! Transformer layers of the CLIP tower.
//!
//! The tokens of all pictures are the rows of one matrix, so that each linear layer is a single
//! matrix product, and the gradient of its weight as well.

use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use anyref_ops::{AttentionInput, add, attention};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::{ClipVisionConfig, HiddenAct};

/// Self-attention (transformers `CLIPAttention`).
#[derive(Module, Debug)]
pub struct ClipAttention<B: Backend> {
    /// Key projection.
    pub k_proj: Linear<B>,
    /// Value projection.
    pub v_proj: Linear<B>,
    /// Query projection.
    pub q_proj: Linear<B>,
    /// Output projection.
    pub out_proj: Linear<B>,
    num_attention_heads: usize,
}

impl<B: Backend> ClipAttention<B> {
    fn new(config: &ClipVisionConfig, device: &B::Device) -> Self {
        let linear = LinearConfig::new(config.hidden_size, config.hidden_size);
        Self {
            k_proj: linear.init(device),
            v_proj: linear.init(device),
            q_proj: linear.init(device),
            out_proj: linear.init(device),
            num_attention_heads: config.num_attention_heads,
        }
    }

    /// Applies the attention within each picture.
    ///
    /// # Shapes
    /// - x: `[batch * tokens, hidden_size]`
    /// - output: `[batch * tokens, hidden_size]`
    ///
    /// # Panics
    /// When `tokens`, the number of tokens of each picture, is 0 or does not divide the rows.
    pub fn forward(&self, x: Tensor<B, 2>, tokens: usize) -> Tensor<B, 2> {
        let [rows, hidden] = x.dims();
        let heads = self.num_attention_heads;
        let split = |x: Tensor<B, 2>| {
            x.reshape([rows / tokens, tokens, heads, hidden / heads])
                .swap_dims(1, 2)
        };
        let inward = [&self.q_proj, &self.k_proj, &self.v_proj];
        let [query, key, value] = Linear::forward_each(inward, x).map(split);
        let rounded = self.q_proj.weight.rounds_inputs();
        let mixed = attention(AttentionInput::new(query, key, value).with_rounded(rounded));
        let mixed = mixed.swap_dims(1, 2).reshape([rows, hidden]);
        self.out_proj.forward(mixed)
    }
}

/// Feed-forward layer (transformers `CLIPMLP`).
#[derive(Module, Debug)]
pub struct ClipMlp<B: Backend> {
    /// Expanding layer.
    pub fc1: Linear<B>,
    /// Contracting layer.
    pub fc2: Linear<B>,
    #[module(skip)]
    hidden_act: HiddenAct,
}

impl<B: Backend> ClipMlp<B> {
    fn new(config: &ClipVisionConfig, device: &B::Device) -> Self {
        Self {
            fc1: LinearConfig::new(config.hidden_size, config.intermediate_size).init(device),
            fc2: LinearConfig::new(config.intermediate_size, config.hidden_size).init(device),
            hidden_act: config.hidden_act,
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - x: `[..., hidden_size]`
    /// - output: `[..., hidden_size]`
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        let x = match self.hidden_act {
            HiddenAct::QuickGelu => self.fc1.forward_quick_gelu(x),
            HiddenAct::Gelu => self.fc1.forward_gelu(x),
        };
        self.fc2.forward(x)
    }
}

/// Pre-norm transformer layer (transformers `CLIPEncoderLayer`).
#[derive(Module, Debug)]
pub struct ClipEncoderLayer<B: Backend> {
    /// Self-attention.
    pub self_attn: ClipAttention<B>,
    /// Normalisation before the attention.
    pub layer_norm1: LayerNorm<B>,
    /// Feed-forward layer.
    pub mlp: ClipMlp<B>,
    /// Normalisation before the feed-forward layer.
    pub layer_norm2: LayerNorm<B>,
}

impl<B: Backend> ClipEncoderLayer<B> {
    fn new(config: &ClipVisionConfig, device: &B::Device) -> Self {
        let norm = LayerNormConfig::new(config.hidden_size).with_epsilon(config.layer_norm_eps);
        Self {
            self_attn: ClipAttention::new(config, device),
            layer_norm1: norm.init(device),
            mlp: ClipMlp::new(config, device),
            layer_norm2: norm.init(device),
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - x: `[batch * tokens, hidden_size]`
    /// - output: `[batch * tokens, hidden_size]`
    ///
    /// # Panics
    /// When `tokens`, the number of tokens of each picture, is 0 or does not divide the rows.
    pub fn forward(&self, x: Tensor<B, 2>, tokens: usize) -> Tensor<B, 2> {
        let [x, added] = self.step(x, None, tokens);
        add(added, x)
    }

    /// Computes two addends of the output from one or two of the input, whose sum is a part of the
    /// norm that follows.
    ///
    /// # Shapes
    /// - x, added, outputs: `[batch * tokens, hidden_size]`
    pub(super) fn step(
        &self,
        x: Tensor<B, 2>,
        added: Option<Tensor<B, 2>>,
        tokens: usize,
    ) -> [Tensor<B, 2>; 2] {
        let [x, normed] = match added {
            Some(added) => self.layer_norm1.forward_sum(x, added),
            None => {
                let normed = self.layer_norm1.forward(x.clone());
                [x, normed]
            }
        };
        let mixed = self.self_attn.forward(normed, tokens);
        let [x, normed] = self.layer_norm2.forward_sum(x, mixed);
        [x, self.mlp.forward(normed)]
    }
}

/// Stack of layers (transformers `CLIPEncoder`).
#[derive(Module, Debug)]
pub struct ClipEncoder<B: Backend> {
    /// Layers, first to last.
    pub layers: Vec<ClipEncoderLayer<B>>,
}

impl<B: Backend> ClipEncoder<B> {
    pub(super) fn new(config: &ClipVisionConfig, device: &B::Device) -> Self {
        Self {
            layers: (0..config.num_hidden_layers)
                .map(|_| ClipEncoderLayer::new(config, device))
                .collect(),
        }
    }
}
