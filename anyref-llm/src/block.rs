//! Decoder layer.

use anyref_ops::nn::{RmsNorm, RmsNormConfig};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::attention::{AttentionContext, LlamaAttention, LlamaAttentionOutput};
use crate::cache::LayerCache;
use crate::config::LlamaConfig;
use crate::mlp::LlamaMlp;

/// Decoder layer: attention and feed-forward network, each with a pre-normalisation and a residual
/// connection.
#[derive(Module, Debug)]
pub struct LlamaDecoderLayer<B: Backend> {
    /// Normalisation before the attention.
    pub input_layernorm: RmsNorm<B>,
    /// Attention.
    pub self_attn: LlamaAttention<B>,
    /// Normalisation before the feed-forward network.
    pub post_attention_layernorm: RmsNorm<B>,
    /// Feed-forward network.
    pub mlp: LlamaMlp<B>,
}

impl<B: Backend> LlamaDecoderLayer<B> {
    pub(crate) fn new(config: &LlamaConfig, device: &B::Device) -> Self {
        let norm = RmsNormConfig::new(config.hidden_size).with_epsilon(config.rms_norm_eps);
        Self {
            input_layernorm: norm.init(device),
            self_attn: LlamaAttention::new(config, device),
            post_attention_layernorm: norm.init(device),
            mlp: LlamaMlp::new(config, device),
        }
    }

    /// Computes the layer's output, with the queries and keys of its attention.
    ///
    /// # Shapes
    /// - x: `[batch, length, hidden]`
    pub fn forward(
        &self,
        x: Tensor<B, 3>,
        context: &AttentionContext<B>,
        cache: Option<&mut LayerCache<B>>,
    ) -> LlamaAttentionOutput<B> {
        let mut attended =
            self.self_attn
                .forward(self.input_layernorm.forward(x.clone()), context, cache);
        let norm = &self.post_attention_layernorm;
        let [x, normed] = norm.forward_sum(x, attended.output);
        attended.output = x + self.mlp.forward(normed);
        attended
    }
}
