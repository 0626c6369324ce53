//! Transformer layers of InternViT, with a learned scale of each output channel.
//!
//! The tokens of all tiles are the rows of one matrix, as in [`clip`](crate::clip).

use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use anyref_ops::{AttentionInput, add, attention};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use super::InternVisionConfig;

/// Self-attention with queries, keys and values in one projection (OpenGVLab's `InternAttention`).
#[derive(Module, Debug)]
pub struct InternAttention<B: Backend> {
    /// Projection to queries, keys and values, `hidden_size -> 3 * hidden_size`.
    pub qkv: Linear<B>,
    /// Output projection.
    pub proj: Linear<B>,
    num_attention_heads: usize,
}

impl<B: Backend> InternAttention<B> {
    fn new(config: &InternVisionConfig, device: &B::Device) -> Self {
        let hidden = config.hidden_size;
        Self {
            qkv: LinearConfig::new(hidden, 3 * hidden)
                .with_bias(config.qkv_bias)
                .init(device),
            proj: LinearConfig::new(hidden, hidden).init(device),
            num_attention_heads: config.num_attention_heads,
        }
    }

    /// Applies the attention within each tile.
    ///
    /// # Shapes
    /// - x: `[tiles * tokens, hidden_size]`
    /// - output: `[tiles * tokens, hidden_size]`
    ///
    /// # Panics
    /// When `tokens`, the number of tokens of each tile, is 0 or does not divide the rows.
    pub fn forward(&self, x: Tensor<B, 2>, tokens: usize) -> Tensor<B, 2> {
        let [rows, hidden] = x.dims();
        let heads = self.num_attention_heads;
        let [query, key, value] = self.qkv.forward_heads(x, [rows / tokens, heads]);
        let rounded = self.qkv.weight.rounds_inputs();
        let mixed = attention(AttentionInput::new(query, key, value).with_rounded(rounded));
        let mixed = mixed.swap_dims(1, 2).reshape([rows, hidden]);
        self.proj.forward(mixed)
    }
}

/// Feed-forward layer (OpenGVLab's `InternMLP`).
#[derive(Module, Debug)]
pub struct InternMlp<B: Backend> {
    /// Expanding layer.
    pub fc1: Linear<B>,
    /// Contracting layer.
    pub fc2: Linear<B>,
}

impl<B: Backend> InternMlp<B> {
    fn new(config: &InternVisionConfig, device: &B::Device) -> Self {
        Self {
            fc1: LinearConfig::new(config.hidden_size, config.intermediate_size).init(device),
            fc2: LinearConfig::new(config.intermediate_size, config.hidden_size).init(device),
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - x: `[..., hidden_size]`
    /// - output: `[..., hidden_size]`
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        self.fc2.forward(self.fc1.forward_gelu(x))
    }
}

/// Pre-norm transformer layer with layer scale (OpenGVLab's `InternVisionEncoderLayer`).
#[derive(Module, Debug)]
pub struct InternVisionEncoderLayer<B: Backend> {
    /// Self-attention.
    pub attn: InternAttention<B>,
    /// Feed-forward layer.
    pub mlp: InternMlp<B>,
    /// Normalisation before the attention.
    pub norm1: LayerNorm<B>,
    /// Normalisation before the feed-forward layer.
    pub norm2: LayerNorm<B>,
    /// Scale of the attention's output, `[hidden_size]`.
    pub ls1: Param<Tensor<B, 1>>,
    /// Scale of the feed-forward layer's output, `[hidden_size]`.
    pub ls2: Param<Tensor<B, 1>>,
}

impl<B: Backend> InternVisionEncoderLayer<B> {
    fn new(config: &InternVisionConfig, device: &B::Device) -> Self {
        let norm = LayerNormConfig::new(config.hidden_size).with_epsilon(config.layer_norm_eps);
        let scale = Initializer::Constant {
            value: config.initializer_factor,
        };
        Self {
            attn: InternAttention::new(config, device),
            mlp: InternMlp::new(config, device),
            norm1: norm.init(device),
            norm2: norm.init(device),
            ls1: scale.init([config.hidden_size], device),
            ls2: scale.init([config.hidden_size], device),
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - x: `[tiles * tokens, hidden_size]`
    /// - output: `[tiles * tokens, hidden_size]`
    ///
    /// # Panics
    /// When `tokens`, the number of tokens of each tile, is 0 or does not divide the rows.
    pub fn forward(&self, x: Tensor<B, 2>, tokens: usize) -> Tensor<B, 2> {
        let attended = self.attn.forward(self.norm1.forward(x.clone()), tokens);
        let scaled = attended * self.ls1.val().unsqueeze();
        let [x, normed] = self.norm2.forward_sum(x, scaled);
        let expanded = self.mlp.forward(normed);
        add(expanded * self.ls2.val().unsqueeze(), x)
    }
}

/// Stack of layers (OpenGVLab's `InternVisionEncoder`).
#[derive(Module, Debug)]
pub struct InternVisionEncoder<B: Backend> {
    /// Layers, first to last.
    pub layers: Vec<InternVisionEncoderLayer<B>>,
}

impl<B: Backend> InternVisionEncoder<B> {
    pub(super) fn new(config: &InternVisionConfig, device: &B::Device) -> Self {
        Self {
            layers: (0..config.num_hidden_layers)
                .map(|_| InternVisionEncoderLayer::new(config, device))
                .collect(),
        }
    }
}
