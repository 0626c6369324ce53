//! Self-attention over a grid, with decomposed relative positions.

use anyref_ops::nn::{Linear, LinearConfig};
use anyref_ops::{self as ops, AttentionInput, RelativePosition, attention};
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Tensor, backend::Backend};

use super::SamVisionConfig;
use super::relative_position::pairwise;

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

    /// # Shapes
    /// - x: `[batch, height, width, hidden_size]`
    /// - output: `[batch, height, width, hidden_size]`
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, height, width, hidden] = x.dims();
        let heads = self.num_attention_heads;
        let tokens = height * width;
        let x = x.reshape([batch * tokens, hidden]);
        let split = |x: Tensor<B, 2>| {
            x.reshape([batch, tokens, heads, hidden / heads])
                .swap_dims(1, 2)
        };
        let query = split(self.part(x.clone(), 0));
        let key = split(self.part(x.clone(), 1));
        let value = split(self.part(x, 2));
        let position = self.positions(query.clone(), [height, width]);
        let mixed =
            attention(AttentionInput::new(query, key, value).with_relative_position(position));
        let mixed = mixed.swap_dims(1, 2).reshape([batch * tokens, hidden]);
        self.proj
            .forward(mixed)
            .reshape([batch, height, width, hidden])
    }

    /// Computes the query (0), key (1) or value (2). The weight is cut rather than the product:
    /// there are far more tokens than channels, and the gradient of a slice has the size of the
    /// whole tensor.
    fn part(&self, x: Tensor<B, 2>, index: usize) -> Tensor<B, 2> {
        let hidden = x.dims()[1];
        self.qkv
            .forward_outputs(x, index * hidden..(index + 1) * hidden)
    }

    /// Products of the unscaled queries with the position tables. All pictures, windows and heads
    /// share the table of a position, so each row or column is a single matrix product over all of
    /// them.
    fn positions(
        &self,
        query: Tensor<B, 4>,
        [height, width]: [usize; 2],
    ) -> Option<RelativePosition<B>> {
        let (rows, columns) = (self.rel_pos_h.as_ref()?, self.rel_pos_w.as_ref()?);
        let [batch, heads, tokens, dim] = query.dims();
        let rows = pairwise(rows.val(), height).swap_dims(1, 2);
        let columns = pairwise(columns.val(), width).swap_dims(1, 2);
        let query = ops::permute(query, [0, 1, 2, 3]).reshape([batch * heads, height, width, dim]);
        let by_row =
            ops::permute(query.clone(), [1, 0, 2, 3]).reshape([height, batch * heads * width, dim]);
        let by_row = ops::matmul(by_row, rows).reshape([height, batch * heads, width, height]);
        let by_column =
            ops::permute(query, [2, 0, 1, 3]).reshape([width, batch * heads * height, dim]);
        let by_column =
            ops::matmul(by_column, columns).reshape([width, batch * heads, height, width]);
        let by_row = ops::permute(by_row, [1, 0, 2, 3]);
        let by_column = ops::permute(by_column, [1, 2, 0, 3]);
        Some(RelativePosition {
            height: by_row.reshape([batch, heads, tokens, height]),
            width: by_column.reshape([batch, heads, tokens, width]),
        })
    }
}
