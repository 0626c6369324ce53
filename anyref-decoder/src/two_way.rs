//! Two-way transformer: cross attention from prompts to the picture and back.

use anyref_ops as ops;
use anyref_ops::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use crate::two_way_attention::{DownsampleAttention, DownsampleAttentionConfig};

/// Configuration of a [`TwoWayTransformer`]; the defaults are SAM's.
#[derive(Config, Debug)]
pub struct TwoWayTransformerConfig {
    /// Width of prompts and picture cells.
    #[config(default = 256)]
    pub embedding_dim: usize,
    /// Number of blocks.
    #[config(default = 2)]
    pub depth: usize,
    /// Number of heads.
    #[config(default = 8)]
    pub num_heads: usize,
    /// Width of the blocks' MLP.
    #[config(default = 2048)]
    pub mlp_dim: usize,
    /// Ratio of the input's width to that of cross attention.
    #[config(default = 2)]
    pub attention_downsample_rate: usize,
    /// Term added to the variance in the normalisations.
    #[config(default = 1e-5)]
    pub layer_norm_eps: f64,
}

impl TwoWayTransformerConfig {
    /// Creates the transformer with PyTorch's initialisation.
    ///
    /// # Panics
    /// See [`DownsampleAttentionConfig::init`], for any of its attentions.
    pub fn init<B: Backend>(&self, device: &B::Device) -> TwoWayTransformer<B> {
        TwoWayTransformer {
            layers: (0..self.depth)
                .map(|index| self.init_block(index == 0, device))
                .collect(),
            final_attn_token_to_image: self.cross_attention().init(device),
            norm_final_attn: self.norm().init(device),
        }
    }

    fn init_block<B: Backend>(&self, first: bool, device: &B::Device) -> TwoWayAttentionBlock<B> {
        TwoWayAttentionBlock {
            self_attn: DownsampleAttentionConfig::new(self.embedding_dim, self.num_heads)
                .init(device),
            norm1: self.norm().init(device),
            cross_attn_token_to_image: self.cross_attention().init(device),
            norm2: self.norm().init(device),
            mlp: MlpBlock {
                lin1: LinearConfig::new(self.embedding_dim, self.mlp_dim).init(device),
                lin2: LinearConfig::new(self.mlp_dim, self.embedding_dim).init(device),
            },
            norm3: self.norm().init(device),
            norm4: self.norm().init(device),
            cross_attn_image_to_token: self.cross_attention().init(device),
            skip_first_layer_pe: first,
        }
    }

    fn cross_attention(&self) -> DownsampleAttentionConfig {
        DownsampleAttentionConfig::new(self.embedding_dim, self.num_heads)
            .with_downsample_rate(self.attention_downsample_rate)
    }

    fn norm(&self) -> LayerNormConfig {
        LayerNormConfig::new(self.embedding_dim).with_epsilon(self.layer_norm_eps)
    }
}

/// Blocks of attention between prompts and picture, then a final attention of the prompts to the
/// picture (segment-anything `transformer.py`, `TwoWayTransformer`).
#[derive(Module, Debug)]
pub struct TwoWayTransformer<B: Backend> {
    /// Blocks, first to last.
    pub layers: Vec<TwoWayAttentionBlock<B>>,
    /// Final attention of the prompts to the picture.
    pub final_attn_token_to_image: DownsampleAttention<B>,
    /// Normalisation after the final attention.
    pub norm_final_attn: LayerNorm<B>,
}

impl<B: Backend> TwoWayTransformer<B> {
    /// Returns prompts and picture after attending to each other. One picture can serve all rows of
    /// prompts.
    ///
    /// # Shapes
    /// - image: `[batch or 1, cells, d]`
    /// - image_pe: `[batch or 1, cells, d]`
    /// - tokens: `[batch, tokens, d]`
    /// - output: `[batch, tokens, d]` and `[batch, cells, d]`
    pub fn forward(
        &self,
        image: Tensor<B, 3>,
        image_pe: Tensor<B, 3>,
        tokens: Tensor<B, 3>,
    ) -> (Tensor<B, 3>, Tensor<B, 3>) {
        let mut keys = Placed {
            placed: ops::add_shared(image.clone(), image_pe.clone()),
            bare: image,
        };
        // The first block does not read the prompts with their positions, which are themselves.
        let mut queries = Placed {
            bare: tokens.clone(),
            placed: tokens.clone(),
        };
        if !self
            .layers
            .first()
            .is_some_and(|layer| layer.skip_first_layer_pe)
        {
            queries.placed = queries.placed + tokens.clone();
        }
        for layer in &self.layers {
            (queries, keys) = layer.step(queries, keys, tokens.clone(), image_pe.clone());
        }
        let look =
            self.final_attn_token_to_image
                .forward(queries.placed, keys.placed, keys.bare.clone());
        let [_, queries] = self.norm_final_attn.forward_sum(queries.bare, look);
        (queries, keys.bare)
    }
}

/// Rows of prompts or cells, alone and with their positions.
struct Placed<B: Backend> {
    bare: Tensor<B, 3>,
    placed: Tensor<B, 3>,
}

impl<B: Backend> Placed<B> {
    /// Norm of `x`, or of `x + added`.
    fn norm(
        norm: &LayerNorm<B>,
        x: Tensor<B, 3>,
        added: Option<Tensor<B, 3>>,
        positions: Tensor<B, 3>,
    ) -> Self {
        let [bare, placed] = norm.forward_placed(x, added, positions);
        Self { bare, placed }
    }
}

/// Block with self-attention of the prompts, attention from prompts to picture, MLP, and attention
/// from picture to prompts, each followed by a normalisation (segment-anything `transformer.py`,
/// `TwoWayAttentionBlock`).
#[derive(Module, Debug)]
pub struct TwoWayAttentionBlock<B: Backend> {
    /// Self-attention of the prompts.
    pub self_attn: DownsampleAttention<B>,
    /// Normalisation after self-attention.
    pub norm1: LayerNorm<B>,
    /// Attention from prompts to picture.
    pub cross_attn_token_to_image: DownsampleAttention<B>,
    /// Normalisation after the attention to the picture.
    pub norm2: LayerNorm<B>,
    /// MLP of the prompts.
    pub mlp: MlpBlock<B>,
    /// Normalisation after the MLP.
    pub norm3: LayerNorm<B>,
    /// Normalisation after the attention from picture to prompts.
    pub norm4: LayerNorm<B>,
    /// Attention from picture to prompts.
    pub cross_attn_image_to_token: DownsampleAttention<B>,
    /// Set for the first block, whose queries are the prompts themselves: self-attention then adds
    /// neither positions nor residual.
    pub skip_first_layer_pe: bool,
}

impl<B: Backend> TwoWayAttentionBlock<B> {
    /// # Shapes
    /// - queries, query_pe: `[batch, tokens, d]`
    /// - keys, key_pe: `[batch or 1, cells, d]`
    /// - output: `[batch, tokens, d]` and `[batch, cells, d]`
    pub fn forward(
        &self,
        queries: Tensor<B, 3>,
        keys: Tensor<B, 3>,
        query_pe: Tensor<B, 3>,
        key_pe: Tensor<B, 3>,
    ) -> (Tensor<B, 3>, Tensor<B, 3>) {
        let queries = Placed {
            placed: queries.clone() + query_pe.clone(),
            bare: queries,
        };
        let keys = Placed {
            placed: ops::add_shared(keys.clone(), key_pe.clone()),
            bare: keys,
        };
        let (queries, keys) = self.step(queries, keys, query_pe, key_pe);
        (queries.bare, keys.bare)
    }

    /// [`forward`](Self::forward) of rows that have their positions, as the next block needs them.
    fn step(
        &self,
        queries: Placed<B>,
        keys: Placed<B>,
        query_pe: Tensor<B, 3>,
        key_pe: Tensor<B, 3>,
    ) -> (Placed<B>, Placed<B>) {
        let (x, added) = match self.skip_first_layer_pe {
            true => (self.self_attn.forward_self(queries.bare), None),
            false => {
                let Placed { bare, placed } = queries;
                let look = self.self_attn.forward(placed.clone(), placed, bare.clone());
                (bare, Some(look))
            }
        };
        let queries = Placed::norm(&self.norm1, x, added, query_pe.clone());

        let look = self.cross_attn_token_to_image.forward(
            queries.placed,
            keys.placed.clone(),
            keys.bare.clone(),
        );
        let [_, queries] = self.norm2.forward_sum(queries.bare, look);

        let look = self.mlp.forward(queries.clone());
        let queries = Placed::norm(&self.norm3, queries, Some(look), query_pe);

        let look = self.cross_attn_image_to_token.forward(
            keys.placed,
            queries.placed.clone(),
            queries.bare.clone(),
        );
        let keys = Placed::norm(&self.norm4, keys.bare, Some(look), key_pe);
        (queries, keys)
    }
}

/// MLP `lin2(relu(lin1(x)))`.
#[derive(Module, Debug)]
pub struct MlpBlock<B: Backend> {
    /// Expanding layer.
    pub lin1: Linear<B>,
    /// Contracting layer.
    pub lin2: Linear<B>,
}

impl<B: Backend> MlpBlock<B> {
    /// # Shapes
    /// - x: `[batch, tokens, d]`
    /// - output: `[batch, tokens, d]`
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        self.lin2.forward(self.lin1.forward_relu(x))
    }
}
