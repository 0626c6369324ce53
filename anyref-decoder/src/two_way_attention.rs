//! Attention between prompts and picture.

use anyref_ops as ops;
use anyref_ops::nn::{Linear, LinearConfig, RowLayer, RowLayers};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

/// Configuration of a [`DownsampleAttention`].
#[derive(Config, Debug)]
pub struct DownsampleAttentionConfig {
    /// Width of the input and the output.
    pub embedding_dim: usize,
    /// Number of heads.
    pub num_heads: usize,
    /// Ratio of the input's width to that of the projections.
    #[config(default = 1)]
    pub downsample_rate: usize,
}

impl DownsampleAttentionConfig {
    /// Creates the layer with PyTorch's initialisation.
    ///
    /// # Panics
    /// When the heads do not divide the projections' width, or that width or `downsample_rate` is
    /// 0.
    pub fn init<B: Backend>(&self, device: &B::Device) -> DownsampleAttention<B> {
        let internal = self.embedding_dim / self.downsample_rate;
        assert!(
            internal > 0 && internal.is_multiple_of(self.num_heads),
            "num_heads ({}) must divide embedding_dim / downsample_rate ({internal})",
            self.num_heads
        );
        let inwards = LinearConfig::new(self.embedding_dim, internal);
        DownsampleAttention {
            q_proj: inwards.init(device),
            k_proj: inwards.init(device),
            v_proj: inwards.init(device),
            out_proj: LinearConfig::new(internal, self.embedding_dim).init(device),
            num_heads: self.num_heads,
        }
    }
}

/// Multi-head attention whose projections may be narrower than its input
/// (segment-anything `transformer.py`, `Attention`).
#[derive(Module, Debug)]
pub struct DownsampleAttention<B: Backend> {
    /// Projection of the queries.
    pub q_proj: Linear<B>,
    /// Projection of the keys.
    pub k_proj: Linear<B>,
    /// Projection of the values.
    pub v_proj: Linear<B>,
    /// Projection of the result.
    pub out_proj: Linear<B>,
    /// Number of heads.
    pub num_heads: usize,
}

impl<B: Backend> DownsampleAttention<B> {
    /// Applies the attention. A batch of 1 on one side is broadcast to every row of the other
    /// without copying its inputs.
    ///
    /// # Shapes
    /// - q: `[batch or 1, queries, embedding_dim]`
    /// - k, v: `[batch or 1, keys, embedding_dim]`
    /// - output: `[batch, queries, embedding_dim]`
    pub fn forward(&self, q: Tensor<B, 3>, k: Tensor<B, 3>, v: Tensor<B, 3>) -> Tensor<B, 3> {
        let (k, v) = (self.k_proj.forward(k), self.v_proj.forward(v));
        self.attend(self.q_proj.forward(q), k, v, None)
    }

    /// Layers of keys, which have positions, and values, which have none.
    pub(crate) fn reading_keys(&self) -> Vec<RowLayer<'_, B>> {
        vec![RowLayer::placed(&self.k_proj), RowLayer::bare(&self.v_proj)]
    }

    /// Applies the attention to projected rows, and adds `added` to its result.
    ///
    /// # Shapes
    /// - q: `[batch or 1, queries, internal]`
    /// - k, v: `[batch or 1, keys, internal]`
    /// - added: `[batch or 1, queries, embedding_dim]`
    /// - output: `[batch, queries, embedding_dim]`
    pub(crate) fn attend(
        &self,
        q: Tensor<B, 3>,
        k: Tensor<B, 3>,
        v: Tensor<B, 3>,
        added: Option<Tensor<B, 3>>,
    ) -> Tensor<B, 3> {
        let [q, k, v] = [q, k, v].map(|x| self.heads(x));
        let out = ops::shared_attention(q, k, v);
        let [batch, heads, queries, head_dim] = out.dims();
        let out = out.swap_dims(1, 2);
        let out = out.reshape([batch, queries, heads * head_dim]);
        match added {
            Some(added) => self.out_proj.forward_added(out, added),
            None => RowLayers::of(out, &self.out_proj).forward_one(),
        }
    }

    fn heads(&self, x: Tensor<B, 3>) -> Tensor<B, 4> {
        let [batch, length, width] = x.dims();
        x.reshape([batch, length, self.num_heads, width / self.num_heads])
            .swap_dims(1, 2)
    }
}
