//! LLaMA: from embeddings to last hidden states and logits.

use core::ops::Range;

use anyref_ops::nn::{Embedding, Linear, RmsNorm, RmsNormConfig};
use anyref_ops::{self as ops, CacheType, CachedRows};
use burn::module::{Initializer, Module, Param};
use burn::nn::EmbeddingConfig;
use burn::tensor::{Bool, Int, Tensor, TensorData, backend::Backend};

use crate::attention::AttentionContext;
use crate::block::LlamaDecoderLayer;
use crate::cache::KvCache;
use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::linear::normal_linear;
use crate::lora::{FreezeBase, LoraConfig, LoraLinear};
use crate::padding::{no_padding, positions};
use crate::rope::RotaryEmbedding;

/// Input of [`Llama::forward`].
#[derive(Debug, Clone)]
pub struct LlamaInput<B: Backend> {
    /// Embeddings `[batch, length, hidden]`, in the type of the model's weights.
    pub embeddings: Tensor<B, 3>,
    /// Padding mask `[batch, past + length]`, `true` = padding, on either side. If absent, the new
    /// positions are not padding, and the cache supplies the mask of the past.
    pub padding: Option<Tensor<B, 2, Bool>>,
    /// Positions `[batch or 1, length]`; if absent, they count from 0 and skip padding.
    pub position_ids: Option<Tensor<B, 2, Int>>,
}

impl<B: Backend> LlamaInput<B> {
    /// Input of sequences without padding, `embeddings` `[batch, length, hidden]`.
    pub fn new(embeddings: Tensor<B, 3>) -> Self {
        Self {
            embeddings,
            padding: None,
            position_ids: None,
        }
    }

    /// Sets [`padding`](Self::padding).
    pub fn with_padding(mut self, padding: Option<Tensor<B, 2, Bool>>) -> Self {
        self.padding = padding;
        self
    }

    /// Sets [`position_ids`](Self::position_ids).
    pub fn with_position_ids(mut self, position_ids: Option<Tensor<B, 2, Int>>) -> Self {
        self.position_ids = position_ids;
        self
    }
}

/// Output of [`Llama::forward`].
#[derive(Debug, Clone)]
pub struct LlamaOutput<B: Backend> {
    /// Hidden states `[batch, length, hidden]`, after the final norm; those of
    /// [`Llama::forward_layers`] are before it.
    pub hidden: Tensor<B, 3>,
    /// Queries of the last layer after rotation, `[batch, heads, length, head_dim]`.
    pub query: Tensor<B, 4>,
    /// Keys of the last layer after rotation, `[batch, kv_heads, past + length, head_dim]`.
    pub key: Tensor<B, 4>,
}

/// States and queries of what was read, as [`LlamaOutput`] has them.
pub(crate) struct Read<B: Backend> {
    pub(crate) hidden: Tensor<B, 3>,
    pub(crate) query: Tensor<B, 4>,
}

/// Embeddings, decoder layers and final norm.
#[derive(Module, Debug)]
pub struct LlamaModel<B: Backend> {
    /// Token embeddings.
    pub embed_tokens: Embedding<B>,
    /// Decoder layers.
    pub layers: Vec<LlamaDecoderLayer<B>>,
    /// Final norm.
    pub norm: RmsNorm<B>,
}

/// LLaMA with its output head (transformers `LlamaForCausalLM`).
#[derive(Module, Debug)]
pub struct Llama<B: Backend> {
    /// Model without the head.
    pub model: LlamaModel<B>,
    /// Output head; absent when it is tied to the embeddings.
    pub lm_head: Option<Linear<B>>,
    #[module(skip)]
    pub(crate) rotary: RotaryEmbedding,
    max_positions: usize,
    /// Type that new caches keep keys and values in.
    #[module(skip)]
    pub(crate) cache_type: CacheType,
}

impl LlamaConfig {
    /// Creates the model with weights drawn from `normal(0, initializer_range)`, lazily: weights
    /// that are loaded before their first use are never drawn.
    ///
    /// # Panics
    /// If the configuration is not [valid](Self::validate).
    pub fn init<B: Backend>(&self, device: &B::Device) -> Llama<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let std = self.initializer_range;
        let layers = (0..self.num_hidden_layers).map(|_| LlamaDecoderLayer::new(self, device));
        let table = EmbeddingConfig::new(self.vocab_size, self.hidden_size)
            .with_initializer(Initializer::Normal { mean: 0.0, std })
            .init(device);
        Llama {
            model: LlamaModel {
                embed_tokens: Embedding {
                    weight: table.weight.into(),
                },
                layers: layers.collect(),
                norm: RmsNormConfig::new(self.hidden_size)
                    .with_epsilon(self.rms_norm_eps)
                    .init(device),
            },
            lm_head: (!self.tie_word_embeddings)
                .then(|| normal_linear(self.hidden_size, self.vocab_size, false, std, device)),
            rotary: RotaryEmbedding::new(self),
            max_positions: self.max_position_embeddings,
            cache_type: CacheType::F32,
        }
    }
}

impl<B: Backend> Llama<B> {
    /// Embeds tokens, in the type of the norms: a table in half precision may serve a model that
    /// computes in f32.
    ///
    /// # Shapes
    /// - ids: `[batch, length]`
    /// - output: `[batch, length, hidden]`
    ///
    /// # Panics
    /// When an id is not in the vocabulary, on backends that check it, such as the CPU's.
    pub fn embed(&self, ids: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        let dtype = self.model.norm.weight.val().dtype();
        self.model.embed_tokens.forward(ids).cast(dtype)
    }

    /// Divides the rotary frequencies by factors, which llama.cpp's files have for long contexts.
    pub(crate) fn with_frequency_factors(mut self, factors: &[f32]) -> Self {
        self.rotary = self.rotary.divided_by(factors);
        self
    }

    /// Maximum length of a sequence, including past and generated tokens; `None` when there is no
    /// limit.
    pub fn max_positions(&self) -> Option<usize> {
        (!self.rotary.is_unbounded()).then_some(self.max_positions)
    }

    /// Processes the embeddings after the cached positions, and appends to the cache.
    ///
    /// # Shapes
    /// - input.embeddings: `[batch, length, hidden]`
    /// - output.hidden: `[batch, length, hidden]`
    ///
    /// # Panics
    /// If the padding does not cover past and new positions, or the cache has other rows or layers.
    pub fn forward(&self, input: LlamaInput<B>, cache: Option<&mut KvCache<B>>) -> LlamaOutput<B> {
        let mut output = self.forward_layers(0..self.model.layers.len(), input, cache);
        output.hidden = self.model.norm.forward(output.hidden);
        output
    }

    /// [`forward`](Self::forward) for which keys stay in the cache alone, as it keeps them.
    pub(crate) fn read(&self, input: LlamaInput<B>, cache: &mut KvCache<B>) -> Read<B> {
        let layers = 0..self.model.layers.len();
        let (read, _) = self.read_layers(layers, input, Some(cache));
        Read {
            hidden: self.model.norm.forward(read.hidden),
            query: read.query,
        }
    }

    /// Runs some of the layers like [`forward`](Self::forward), without the final norm:
    /// `input.embeddings` are the outputs of the preceding layers, and the cache has just these
    /// layers.
    ///
    /// # Shapes
    /// - input.embeddings: `[batch, length, hidden]`
    /// - output.hidden: `[batch, length, hidden]`
    ///
    /// # Panics
    /// If there are no such layers; also see [`forward`](Self::forward).
    pub fn forward_layers(
        &self,
        layers: Range<usize>,
        input: LlamaInput<B>,
        cache: Option<&mut KvCache<B>>,
    ) -> LlamaOutput<B> {
        let (Read { hidden, query }, key) = self.read_layers(layers, input, cache);
        let key = key.values(query.dtype());
        LlamaOutput { hidden, query, key }
    }

    /// The output of some layers, and the keys that the last of them attended to.
    fn read_layers(
        &self,
        layers: Range<usize>,
        input: LlamaInput<B>,
        mut cache: Option<&mut KvCache<B>>,
    ) -> (Read<B>, CachedRows<B>) {
        let LlamaInput {
            embeddings,
            padding,
            position_ids,
        } = input;
        let [batch, length, _] = embeddings.dims();
        let past = cache.as_ref().map_or(0, |cache| cache.len());
        let total = past + length;
        if let Some(padding) = &padding {
            assert_eq!(
                padding.dims(),
                [batch, total],
                "padding covers the past and the new positions"
            );
        }
        let padding = padding.or_else(|| {
            let past = cache.as_ref().and_then(|cache| cache.padding())?;
            Some(Tensor::cat(
                vec![past, no_padding(batch, length, &embeddings.device())],
                1,
            ))
        });
        let position_ids = position_ids.unwrap_or_else(|| match &padding {
            Some(padding) => positions(padding.clone()).narrow(1, past, length),
            None => Tensor::arange(past as i64..total as i64, &embeddings.device()).unsqueeze(),
        });
        if let Some(cache) = cache.as_deref_mut() {
            cache.set_padding(padding.clone());
        }
        let device = embeddings.device();
        let attended = cache
            .as_ref()
            .map_or(total, |cache| cache.attended(length, &device));
        let mask = match (padding, attended > total) {
            (Some(padding), true) => {
                let room = no_padding(batch, attended - total, &device).bool_not();
                Some(Tensor::cat(vec![padding, room], 1))
            }
            (None, true) => {
                let room = (0..attended).map(|position| position >= total);
                let room = TensorData::new(room.collect::<Vec<_>>(), [1, attended]);
                Some(Tensor::from_data(room, &device))
            }
            (padding, false) => padding,
        };
        let context = AttentionContext {
            rotation: self
                .rotary
                .rotation(position_ids, total, embeddings.dtype()),
            mask: mask.map(|mask| mask.unsqueeze_dims(&[1, 1])),
        };

        let layers = &self.model.layers[layers];
        let (x, last) = ops::within_pool::<B, _>(|| {
            let (mut x, mut last) = (embeddings, None);
            for (index, layer) in layers.iter().enumerate() {
                let cache = cache.as_deref_mut().map(|cache| cache.layer(index));
                let output = layer.forward(x, &context, cache);
                x = output.output;
                last = Some((output.query, output.key));
            }
            (x, last)
        });
        let (query, mut key) = last.expect("at least one layer");
        if attended > total {
            key = key.truncate(total);
        }
        (Read { hidden: x, query }, key)
    }

    /// Computes the logits of all tokens.
    ///
    /// # Shapes
    /// - hidden: `[batch, length, hidden]`
    /// - output: `[batch, length, vocab]`
    pub fn logits(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        if let Some(head) = &self.lm_head {
            return head.forward(hidden);
        }
        self.model.embed_tokens.scores(hidden)
    }

    /// Adds new adapters to the projections named by `config`. Parameters keep their gradients; see
    /// [`freeze_base`](Self::freeze_base).
    ///
    /// # Errors
    /// When the configuration is not [valid](LoraConfig::validate), or one of its `target_modules`
    /// names no projection of the model, or only projections that an earlier one names.
    pub fn with_lora(self, config: &LoraConfig) -> Result<Self> {
        config.validate()?;
        let mut used = vec![false; config.target_modules.len()];
        let model = self.map_projections(|path, linear| match config.target_of(path) {
            Some(target) => {
                used[target] = true;
                linear.with_lora(config)
            }
            None => linear,
        });
        match used.iter().position(|used| !used) {
            Some(unused) => Err(Error::Lora {
                field: "target_modules".into(),
                reason: format!(
                    "names `{}`, which is no projection of the model (q_proj, k_proj, v_proj, o_proj, \
                     gate_proj, up_proj, down_proj) or is named twice",
                    config.target_modules[unused]
                ),
            }),
            None => Ok(model),
        }
    }

    /// Merges all adapters into the weights and drops them.
    pub fn merge_lora(self) -> Self {
        self.map_projections(|_, linear| linear.merge().without_lora())
    }

    /// Merges all adapters into the weights (`true`) or removes them from the weights (`false`);
    /// the adapters are kept.
    pub fn set_lora_merged(self, merged: bool) -> Self {
        self.map_projections(|_, linear| {
            if merged {
                linear.merge()
            } else {
                linear.unmerge()
            }
        })
    }

    /// Returns whether any projection carries an adapter.
    pub fn has_lora(&self) -> bool {
        self.projections().any(|linear| linear.lora_a.is_some())
    }

    /// Returns whether any adapter uses dropout.
    pub fn has_dropout(&self) -> bool {
        self.projections()
            .any(|linear| linear.lora_a.is_some() && linear.dropout.prob > 0.0)
    }

    fn projections(&self) -> impl Iterator<Item = &LoraLinear<B>> {
        self.named_projections().map(|(_, linear)| linear)
    }

    /// Projections with the names of their weights in the model.
    pub(crate) fn named_projections(&self) -> impl Iterator<Item = (String, &LoraLinear<B>)> {
        let layers = self.model.layers.iter().enumerate();
        layers.flat_map(|(index, layer)| {
            let (attention, mlp) = (&layer.self_attn, &layer.mlp);
            let linear = [
                ("self_attn.q_proj", &attention.q_proj),
                ("self_attn.k_proj", &attention.k_proj),
                ("self_attn.v_proj", &attention.v_proj),
                ("self_attn.o_proj", &attention.o_proj),
                ("mlp.gate_proj", &mlp.gate_proj),
                ("mlp.up_proj", &mlp.up_proj),
                ("mlp.down_proj", &mlp.down_proj),
            ];
            linear.map(|(name, linear)| {
                let name = format!("model.layers.{index}.{name}.base_layer.weight");
                (name, linear)
            })
        })
    }

    /// Disables gradients of all parameters except the adapters. Parameters still to be loaded stay
    /// uninitialised.
    pub fn freeze_base(self) -> Self {
        self.map(&mut FreezeBase::new())
    }

    /// Enlarges or truncates the vocabulary. New rows of the embeddings and of the head are the
    /// mean of the old ones.
    ///
    /// # Panics
    /// When `vocab_size` is 0.
    pub fn resize_vocabulary(mut self, vocab_size: usize) -> Self {
        let table = self.model.embed_tokens.weight;
        self.model.embed_tokens.weight = table.map_values(|table| resize(table, 0, vocab_size));
        if let Some(head) = &mut self.lm_head {
            head.weight = (head.weight.clone()).map_dense(|param| resize(param, 1, vocab_size));
        }
        self
    }

    fn map_projections(
        mut self,
        mut function: impl FnMut(&str, LoraLinear<B>) -> LoraLinear<B>,
    ) -> Self {
        let layers = std::mem::take(&mut self.model.layers);
        let map = |(index, mut layer): (usize, LlamaDecoderLayer<B>)| {
            let mut apply =
                |name: &str, linear| function(&format!("model.layers.{index}.{name}"), linear);
            layer.self_attn.q_proj = apply("self_attn.q_proj", layer.self_attn.q_proj);
            layer.self_attn.k_proj = apply("self_attn.k_proj", layer.self_attn.k_proj);
            layer.self_attn.v_proj = apply("self_attn.v_proj", layer.self_attn.v_proj);
            layer.self_attn.o_proj = apply("self_attn.o_proj", layer.self_attn.o_proj);
            layer.mlp.gate_proj = apply("mlp.gate_proj", layer.mlp.gate_proj);
            layer.mlp.up_proj = apply("mlp.up_proj", layer.mlp.up_proj);
            layer.mlp.down_proj = apply("mlp.down_proj", layer.mlp.down_proj);
            layer
        };
        self.model.layers = layers.into_iter().enumerate().map(map).collect();
        self
    }
}

fn resize<B: Backend>(param: Param<Tensor<B, 2>>, dim: usize, size: usize) -> Param<Tensor<B, 2>> {
    param.map(|table| {
        let old = table.dims()[dim];
        let tracked = table.is_require_grad();
        let table = table.detach();
        let resized = if size <= old {
            table.narrow(dim, 0, size)
        } else {
            let mean = table.clone().mean_dim(dim).repeat_dim(dim, size - old);
            Tensor::cat(vec![table, mean], dim)
        };
        resized.detach().set_require_grad(tracked)
    })
}
