//! Scaled dot-product attention.

mod cached;
mod composition;
mod folded;
mod input;
mod positions;

use burn::tensor::{Tensor, backend::Backend};

pub use cached::cached_attention;
#[cfg(all(test, feature = "flex"))]
pub(crate) use composition::composed;
pub use input::{AttentionInput, CachedAttention, RelativePosition};
#[cfg(all(test, feature = "flex"))]
pub(crate) use positions::composed as composed_relative_positions;
pub use positions::relative_positions;

use crate::dispatch::on_processor;

/// Computes `softmax(query · keyᵀ · scale + bias) · value`. A query whose every key is masked
/// attends to all keys alike instead of giving NaN.
///
/// Scores of all queries are in memory only where no fused form takes the arguments: on GPUs
/// relative positions with gradients, and heads wider than 256.
///
/// # Shapes
/// - output: `[batch, heads, queries, value_dim]`
pub fn attention<B: Backend>(input: AttentionInput<B>) -> Tensor<B, 4> {
    #[cfg(feature = "flex")]
    let input = match crate::flex::attention(input) {
        Ok(output) => return output,
        Err(input) => input,
    };
    #[cfg(feature = "cube")]
    if let Some(output) = in_one_launch(&input) {
        return output;
    }
    match on_processor::<B>() {
        true => composition::composed(input),
        false => folded::attention(input),
    }
}

/// Computes [`attention`] without a mask, where one row of queries may attend to the keys of a
/// batch, or the queries of a batch to one row of keys, without copies of the one row.
///
/// # Shapes
/// - query: `[batch or 1, heads, queries, head_dim]`
/// - key: `[batch or 1, kv_heads, keys, head_dim]`, value `[.., value_dim]`
/// - output: `[batch, heads, queries, value_dim]`
pub fn shared_attention<B: Backend>(
    query: Tensor<B, 4>,
    key: Tensor<B, 4>,
    value: Tensor<B, 4>,
) -> Tensor<B, 4> {
    let [query_batch, heads, queries, head_dim] = query.dims();
    let key_batch = key.dims()[0];
    if query_batch == 1 && key_batch > 1 {
        let query = query.expand([key_batch, heads, queries, head_dim]);
        return attention(AttentionInput::new(query, key, value));
    }
    if key_batch > 1 || query_batch == 1 {
        return attention(AttentionInput::new(query, key, value));
    }
    let [.., value_dim] = value.dims();
    #[cfg(feature = "cube")]
    {
        // Views of stride 0.
        let [_, kv_heads, keys, _] = key.dims();
        let whole = |x: &Tensor<B, 4>, width| {
            let x = x.clone();
            x.expand([query_batch, kv_heads, keys, width])
        };
        let (key, value) = (whole(&key, head_dim), whole(&value, value_dim));
        let input = AttentionInput::new(query.clone(), key, value);
        if let Some(output) = in_one_launch(&input) {
            return output;
        }
    }
    // Queries are independent of one another, so those of all rows can share one row.
    let query = query.swap_dims(1, 2);
    let query = query.reshape([1, query_batch * queries, heads, head_dim]);
    let output = attention(AttentionInput::new(query.swap_dims(1, 2), key, value));
    let output = output.swap_dims(1, 2);
    let output = output.reshape([query_batch, queries, heads, value_dim]);
    output.swap_dims(1, 2)
}

/// Attention in one launch, where the backend has a kernel for it; keys and values may have another
/// type than the queries.
#[cfg(feature = "cube")]
fn in_one_launch<B: Backend>(input: &AttentionInput<B>) -> Option<Tensor<B, 4>> {
    let [.., head_dim] = input.query.dims();
    let positions = input.relative_position.as_ref();
    crate::cube::attend(crate::cube::KernelAttention {
        query: &input.query,
        key: &input.key,
        value: &input.value,
        mask: input.mask.as_ref(),
        positions: positions.map(|position| [&position.height, &position.width]),
        causal: input.causal,
        scale: input.scale.unwrap_or((head_dim as f64).powf(-0.5)),
    })
}
