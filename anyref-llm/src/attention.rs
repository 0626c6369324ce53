//! Causal self-attention with rotary positions and grouped queries.

use anyref_ops::nn::{RmsNorm, RmsNormConfig};
use anyref_ops::{self as ops, Angles, CachedAttention, CachedRows};
use burn::module::Module;
use burn::tensor::{Bool, Tensor, backend::Backend};

use crate::cache::LayerCache;
use crate::config::LlamaConfig;
use crate::lora::LoraLinear;

/// Attention of one decoder layer.
#[derive(Module, Debug)]
pub struct LlamaAttention<B: Backend> {
    /// Queries.
    pub q_proj: LoraLinear<B>,
    /// Keys.
    pub k_proj: LoraLinear<B>,
    /// Values.
    pub v_proj: LoraLinear<B>,
    /// Output.
    pub o_proj: LoraLinear<B>,
    /// Normalisation of each head of queries, in models with [`LlamaConfig::qk_norm`].
    pub q_norm: Option<RmsNorm<B>>,
    /// Normalisation of each head of keys, in models with [`LlamaConfig::qk_norm`].
    pub k_norm: Option<RmsNorm<B>>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// Inputs that all layers of one forward pass share.
#[derive(Debug, Clone)]
pub struct AttentionContext<B: Backend> {
    /// Positions of the new tokens.
    pub rotation: Angles<B>,
    /// Mask `[batch or 1, 1, 1, keys]`, `true` = excluded: padding, and spare capacity of a cache.
    pub mask: Option<Tensor<B, 4, Bool>>,
}

/// Output of one layer's attention.
#[derive(Debug, Clone)]
pub struct LlamaAttentionOutput<B: Backend> {
    /// Attended values after the output projection, `[batch, length, hidden]`.
    pub output: Tensor<B, 3>,
    /// Queries after rotation, `[batch, heads, length, head_dim]`.
    pub query: Tensor<B, 4>,
    /// Keys that were attended to, `[batch, kv_heads, past + length and room, head_dim]`, after
    /// rotation, as the cache keeps them.
    pub key: CachedRows<B>,
}

impl<B: Backend> LlamaAttention<B> {
    pub(crate) fn new(config: &LlamaConfig, device: &B::Device) -> Self {
        let (hidden, head_dim) = (config.hidden_size, config.head_width());
        let (heads, kv_heads) = (config.num_attention_heads, config.kv_heads());
        let projection = |d_input, d_output, bias| {
            let std = config.initializer_range;
            LoraLinear::new([d_input, d_output], bias, std, device)
        };
        let bias = config.attention_bias || config.qkv_bias;
        let norm = || {
            let norm = RmsNormConfig::new(head_dim).with_epsilon(config.rms_norm_eps);
            config.qk_norm.then(|| norm.init(device))
        };
        Self {
            q_proj: projection(hidden, heads * head_dim, bias),
            k_proj: projection(hidden, kv_heads * head_dim, bias),
            v_proj: projection(hidden, kv_heads * head_dim, bias),
            o_proj: projection(heads * head_dim, hidden, config.attention_bias),
            q_norm: norm(),
            k_norm: norm(),
            heads,
            kv_heads,
            head_dim,
        }
    }

    /// Attends over the cached past and the new tokens, and appends the latter to the cache.
    ///
    /// # Shapes
    /// - x: `[batch, length, hidden]`
    pub fn forward(
        &self,
        x: Tensor<B, 3>,
        context: &AttentionContext<B>,
        cache: Option<&mut LayerCache<B>>,
    ) -> LlamaAttentionOutput<B> {
        let [batch, length, _] = x.dims();
        // The heads of one token lie as they should.
        let split = |y: Tensor<B, 3>, heads| match length {
            1 => y.reshape([batch, heads, 1, self.head_dim]),
            _ => {
                let y = y.reshape([batch, length, heads, self.head_dim]);
                ops::permute(y, [0, 2, 1, 3])
            }
        };
        let projections = [&self.q_proj, &self.k_proj, &self.v_proj];
        let [query, key, value] = LoraLinear::forward_each(projections, x);
        let query = normalised(split(query, self.heads), &self.q_norm);
        let key = normalised(split(key, self.kv_heads), &self.k_norm);
        let value = split(value, self.kv_heads);
        let rotation = &context.rotation;
        let (query, key, value) = match cache {
            Some(cache) => cache.append([query, key, value], rotation),
            None => {
                let [query, key] = ops::rotary_each([query, key], rotation);
                (query, CachedRows::Float(key), CachedRows::Float(value))
            }
        };
        // One new token sees all keys, so there is no future to mask.
        let mut attended = ops::cached_attention(CachedAttention {
            query: query.clone(),
            key: key.clone(),
            value,
            mask: context.mask.clone(),
            causal: length > 1,
        });
        if length > 1 {
            attended = ops::permute(attended, [0, 2, 1, 3]);
        }
        let attended = attended.reshape([batch, length, self.heads * self.head_dim]);
        LlamaAttentionOutput {
            output: self.o_proj.forward(attended),
            query,
            key,
        }
    }
}

/// Heads with the norm of a model that has one.
fn normalised<B: Backend>(heads: Tensor<B, 4>, norm: &Option<RmsNorm<B>>) -> Tensor<B, 4> {
    match norm {
        Some(norm) => norm.forward(heads),
        None => heads,
    }
}
