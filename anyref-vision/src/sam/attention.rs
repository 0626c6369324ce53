//! Self-attention over a grid, with decomposed relative positions.

use anyref_ops::nn::{Linear, LinearConfig};
use anyref_ops::{AttentionInput, RelativePosition, attention, relative_positions};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use super::SamVisionConfig;
use super::relative_position::resize;

/// Self-attention (segment-anything `Attention`, transformers `SamVisionAttention`).
#[derive(Module, Debug)]
pub struct SamVisionAttention<B: Backend> {
    /// Projection to queries, keys and values, `hidden_size -> 3 * hidden_size`.
    pub qkv: Linear<B>,
    /// Output projection.
    pub proj: Linear<B>,
    /// Row positions, `[2 * length - 1, head_dim]`.
    pub rel_pos_h: Option<Param<Tensor<B, 2>>>,
    /// Column positions, `[2 * length - 1, head_dim]`.
    pub rel_pos_w: Option<Param<Tensor<B, 2>>>,
    num_attention_heads: usize,
}

impl<B: Backend> SamVisionAttention<B> {
    /// Creates the layer; `length` is the side of the grid that it attends to.
    pub(super) fn new(config: &SamVisionConfig, length: usize, device: &B::Device) -> Self {
        let hidden = config.hidden_size;
        let head_dim = hidden / config.num_attention_heads;
        let table = || {
            config
                .use_rel_pos
                .then(|| Initializer::Zeros.init([2 * length - 1, head_dim], device))
        };
        Self {
            qkv: LinearConfig::new(hidden, 3 * hidden)
                .with_bias(config.qkv_bias)
                .init(device),
            proj: LinearConfig::new(hidden, hidden).init(device),
            rel_pos_h: table(),
            rel_pos_w: table(),
            num_attention_heads: config.num_attention_heads,
        }
    }

    /// Applies the attention over a grid or window.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, hidden_size]`
    /// - output: `[batch, height, width, hidden_size]`
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, height, width, hidden] = x.dims();
        let tokens = height * width;
        let x = x.reshape([batch * tokens, hidden]);
        let [query, key, value] = self.qkv.forward_heads(x, [batch, self.num_attention_heads]);
        let position = self.positions(query.clone(), [height, width]);
        let input = AttentionInput::new(query, key, value).with_relative_position(position);
        let mixed = attention(input.with_rounded(self.qkv.weight.rounds_inputs()));
        let mixed = mixed.swap_dims(1, 2).reshape([batch * tokens, hidden]);
        self.proj
            .forward(mixed)
            .reshape([batch, height, width, hidden])
    }

    /// Products of the unscaled queries with the position tables, whose length is fitted to the
    /// grid.
    fn positions(
        &self,
        query: Tensor<B, 4>,
        [height, width]: [usize; 2],
    ) -> Option<RelativePosition<B>> {
        let (rows, columns) = (self.rel_pos_h.as_ref()?, self.rel_pos_w.as_ref()?);
        let rows = resize(rows.val(), 2 * height - 1);
        let columns = resize(columns.val(), 2 * width - 1);
        let grid = [height, width];
        Some(relative_positions(query, [rows, columns], grid))
    }
}
