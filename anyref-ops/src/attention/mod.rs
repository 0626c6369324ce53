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

/// `softmax(query · keyᵀ · scale + bias) · value`. A query whose every key is masked attends to all
/// keys alike instead of giving NaN.
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
