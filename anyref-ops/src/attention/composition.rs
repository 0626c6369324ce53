//! Attention composed of burn's tensor operations.

use burn::tensor::{Bool, DType, Tensor, activation, backend::Backend};

use super::input::{AttentionInput, RelativePosition};
use crate::dispatch::on_processor;
use crate::{matmul, matmul_transposed};

/// Composed form, in burn's own tensor operations; scores and softmax are at least f32.
pub(crate) fn composed<B: Backend>(input: AttentionInput<B>) -> Tensor<B, 4> {
    let [batch, heads, queries, head_dim] = input.query.dims();
    let [_, kv_heads, keys, _] = input.key.dims();
    let (key, value) = if kv_heads == heads {
        (input.key, input.value)
    } else {
        (
            repeat_heads(input.key, heads),
            repeat_heads(input.value, heads),
        )
    };
    let scale = input.scale.unwrap_or((head_dim as f64).powf(-0.5));
    let dtype = input.query.dtype();
    // The product may overflow in f16. On a GPU the scale is fused with the other operations on the
    // scores.
    let first = dtype == DType::F16 || on_processor::<B>();
    let query = match first && scale != 1.0 {
        true => input.query * scale,
        false => input.query,
    };
    let mut scores = matmul_transposed(query, key);
    if matches!(dtype, DType::F16 | DType::BF16) {
        scores = scores.cast(DType::F32);
    }
    if !first && scale != 1.0 {
        scores = scores * scale;
    }
    if let Some(RelativePosition { height, width }) = input.relative_position {
        let [.., rows] = height.dims();
        let [.., columns] = width.dims();
        let scores_type = scores.dtype();
        let grid = scores.reshape([batch * heads, queries, rows, columns])
            + height
                .cast(scores_type)
                .reshape([batch * heads, queries, rows, 1])
            + width
                .cast(scores_type)
                .reshape([batch * heads, queries, 1, columns]);
        scores = grid.reshape([batch, heads, queries, keys]);
    }
    if input.causal {
        let offset = keys as i64 - queries as i64;
        let mask = Tensor::<B, 2, Bool>::tril_mask([queries, keys], offset, &scores.device());
        scores = scores.mask_fill(
            mask.unsqueeze::<4>().expand([batch, heads, queries, keys]),
            LOWEST,
        );
    }
    if let Some(mask) = input.mask {
        scores = scores.mask_fill(mask.expand([batch, heads, queries, keys]), LOWEST);
    }
    matmul(activation::softmax(scores, 3).cast(dtype), value)
}

/// Value far below every unmasked score.
const LOWEST: f64 = -1.0e30;

/// Repeats each key/value head for the query heads that share it.
fn repeat_heads<B: Backend>(x: Tensor<B, 4>, heads: usize) -> Tensor<B, 4> {
    let [batch, kv_heads, length, dim] = x.dims();
    let groups = heads / kv_heads;
    x.reshape([batch, kv_heads, 1, length, dim])
        .expand([batch, kv_heads, groups, length, dim])
        .reshape([batch, heads, length, dim])
}
