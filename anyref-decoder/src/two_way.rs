//! Two-way transformer: cross attention from prompts to the picture and back.

use anyref_ops::nn::{
    LayerNorm, LayerNormConfig, Linear, LinearConfig, RowLayer, RowLayers, RowOutputs,
};
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
        let (queries, keys) = self.forward_before_norm(image, image_pe, tokens);
        (self.norm_final_attn.forward(queries), keys)
    }

    /// [`forward`](Self::forward) with the prompts before their [last
    /// norm](Self::norm_final_attn).
    pub(crate) fn forward_before_norm(
        &self,
        image: Tensor<B, 3>,
        image_pe: Tensor<B, 3>,
        tokens: Tensor<B, 3>,
    ) -> (Tensor<B, 3>, Tensor<B, 3>) {
        let last = &self.final_attn_token_to_image;
        let reading = |index: usize| match self.layers.get(index) {
            Some(block) => block.reading(),
            None => vec![RowLayer::placed(&last.q_proj)],
        };
        let mut queries = Rows::of(tokens.clone()).read(reading(0), Some(tokens.clone()));
        let mut keys = Rows::of(image);
        for (index, layer) in self.layers.iter().enumerate() {
            let positions = [tokens.clone(), image_pe.clone()];
            (queries, keys) = layer.step(queries, keys, positions, reading(index + 1));
        }
        let [q] = exactly(queries.outputs);
        let keys = keys.read(last.reading_keys(), Some(image_pe));
        let [k, v] = exactly(keys.outputs);
        let queries = last.attend(q, k, v, Some(queries.rows));
        (queries, keys.rows)
    }
}

/// Rows of prompts or cells, whose norm is computed with the first products of them.
struct Rows<'a, B: Backend> {
    x: Tensor<B, 3>,
    norm: Option<&'a LayerNorm<B>>,
}

impl<'a, B: Backend> Rows<'a, B> {
    /// Rows without a norm.
    fn of(x: Tensor<B, 3>) -> Self {
        Self { x, norm: None }
    }

    fn normed(x: Tensor<B, 3>, norm: &'a LayerNorm<B>) -> Self {
        let norm = Some(norm);
        Self { x, norm }
    }

    /// Applies the norm and layers that read the rows.
    fn read(self, layers: Vec<RowLayer<'_, B>>, places: Option<Tensor<B, 3>>) -> RowOutputs<B> {
        let layers = RowLayers {
            x: self.x,
            norm: self.norm,
            places,
            layers,
            relu: false,
        };
        layers.forward()
    }

    /// Rows after their norm.
    fn finish(self) -> Tensor<B, 3> {
        match self.norm {
            Some(norm) => norm.forward(self.x),
            None => self.x,
        }
    }
}

/// Outputs of as many layers.
fn exactly<B: Backend, const N: usize>(outputs: Vec<Tensor<B, 3>>) -> [Tensor<B, 3>; N] {
    outputs.try_into().expect("an output a layer")
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
    /// Applies the block, and returns prompts and picture.
    ///
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
        let queries = Rows::of(queries).read(self.reading(), Some(query_pe.clone()));
        let (queries, keys) = self.step(queries, Rows::of(keys), [query_pe, key_pe], Vec::new());
        (queries.rows, keys.finish())
    }

    /// Layers of the prompts' self-attention.
    fn reading(&self) -> Vec<RowLayer<'_, B>> {
        let attention = &self.self_attn;
        let placed = !self.skip_first_layer_pe;
        let of = |layer, placed| RowLayer { layer, placed };
        vec![
            of(&attention.q_proj, placed),
            of(&attention.k_proj, placed),
            of(&attention.v_proj, false),
        ]
    }

    /// [`forward`](Self::forward) of prompts with the outputs of [`reading`](Self::reading), and of
    /// keys before their norm. Prompts are returned with the outputs of the layers `next`.
    fn step<'a>(
        &'a self,
        queries: RowOutputs<B>,
        keys: Rows<'_, B>,
        [query_pe, key_pe]: [Tensor<B, 3>; 2],
        next: Vec<RowLayer<'_, B>>,
    ) -> (RowOutputs<B>, Rows<'a, B>) {
        let [q, k, v] = exactly(queries.outputs);
        let added = (!self.skip_first_layer_pe).then_some(queries.rows);
        let look = self.self_attn.attend(q, k, v, added);
        let to_image = &self.cross_attn_token_to_image;
        let layers = vec![RowLayer::placed(&to_image.q_proj)];
        let queries = Rows::normed(look, &self.norm1).read(layers, Some(query_pe.clone()));
        let [q] = exactly(queries.outputs);

        // The picture's cells are queries and keys by turns, before they change. Keys are computed
        // last, since they are read next.
        let to_token = &self.cross_attn_image_to_token;
        let mut layers = vec![RowLayer::placed(&to_token.q_proj)];
        layers.extend(to_image.reading_keys());
        let keys = keys.read(layers, Some(key_pe));
        let [cells, k, v] = exactly(keys.outputs);

        let look = to_image.attend(q, k, v, Some(queries.rows));
        let queries = self.mlp.forward_normed(look, &self.norm2);

        let mut layers = to_token.reading_keys();
        layers.extend(next);
        let queries = Rows::normed(queries, &self.norm3).read(layers, Some(query_pe));
        let RowOutputs { rows, mut outputs } = queries;
        let next = outputs.split_off(2);
        let [k, v] = exactly(outputs);
        let look = to_token.attend(cells, k, v, Some(keys.rows));
        let queries = RowOutputs {
            rows,
            outputs: next,
        };
        (queries, Rows::normed(look, &self.norm4))
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
    /// Applies the MLP.
    ///
    /// # Shapes
    /// - x: `[batch, tokens, d]`
    /// - output: `[batch, tokens, d]`
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        self.lin2.forward(self.lin1.forward_relu(x))
    }

    /// Sum of normalised rows and their [`forward`](Self::forward).
    ///
    /// # Shapes
    /// - x and output: `[batch, tokens, d]`
    fn forward_normed(&self, x: Tensor<B, 3>, norm: &LayerNorm<B>) -> Tensor<B, 3> {
        let layers = RowLayers {
            x,
            norm: Some(norm),
            places: None,
            layers: vec![RowLayer::bare(&self.lin1)],
            relu: true,
        };
        let RowOutputs { rows, outputs } = layers.forward();
        let [hidden] = exactly(outputs);
        self.lin2.forward_added(hidden, rows)
    }
}
