//! Multi-head attention with optional pooling of its queries.

use anyref_ops::nn::{Linear, LinearConfig};
use anyref_ops::{AttentionInput, attention, max_pool_2x2};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

use super::config::BlockSizes;

/// Multi-head self-attention over a grid (SAM 2 `MultiScaleAttention`).
#[derive(Module, Debug)]
pub struct MultiScaleAttention<B: Backend> {
    /// Projection to queries, keys and values.
    pub qkv: Linear<B>,
    /// Output projection.
    pub proj: Linear<B>,
    num_attention_heads: usize,
    pools: bool,
}

impl<B: Backend> MultiScaleAttention<B> {
    pub(super) fn new(sizes: BlockSizes, device: &B::Device) -> Self {
        Self {
            qkv: LinearConfig::new(sizes.dim, 3 * sizes.dim_out).init(device),
            proj: LinearConfig::new(sizes.dim_out, sizes.dim_out).init(device),
            num_attention_heads: sizes.heads,
            pools: sizes.pools,
        }
    }

    /// Applies the attention. If queries are pooled, the maximum of 2 × 2 queries replaces them,
    /// which halves the grid.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, dim]`
    /// - output: `[batch, height, width, dim_out]`, or half of height and width
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, height, width, dim] = x.dims();
        let [dim_out, _] = self.proj.weight.dims();
        let heads = self.num_attention_heads;
        let tokens = height * width;
        let x = x.reshape([batch * tokens, dim]);
        let ([query, key, value], [height, width]) = match self.pools {
            false => (self.qkv.forward_heads(x, [batch, heads]), [height, width]),
            true => {
                let [query, key, value] = self.qkv.forward_parts(x);
                let pooled = max_pool_2x2(query.reshape([batch, height, width, dim_out]));
                let [_, height, width, _] = pooled.dims();
                let query = pooled.reshape([batch * height * width, dim_out]);
                let split = |x: Tensor<B, 2>| {
                    let tokens = x.dims()[0] / batch;
                    x.reshape([batch, tokens, heads, dim_out / heads])
                        .swap_dims(1, 2)
                };
                ([query, key, value].map(split), [height, width])
            }
        };
        let rounded = self.qkv.weight.rounds_inputs();
        let mixed = attention(AttentionInput::new(query, key, value).with_rounded(rounded));
        let mixed = mixed
            .swap_dims(1, 2)
            .reshape([batch * height * width, dim_out]);
        self.proj
            .forward(mixed)
            .reshape([batch, height, width, dim_out])
    }
}
