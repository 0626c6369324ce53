//! Scaled dot-product attention.

mod cached;
mod composition;
mod folded;
mod input;
mod relative;

use burn::tensor::{Tensor, backend::Backend};

pub use cached::cached_attention;
#[cfg(all(test, feature = "flex"))]
pub(crate) use composition::composed;
pub use input::{AttentionInput, CachedAttention, RelativePosition};
#[cfg(all(test, feature = "flex"))]
pub(crate) use relative::composed as composed_relative_position;
pub use relative::relative_position;

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
    match on_processor::<B>() {
        true => composition::composed(input),
        false => folded::attention(input),
    }
}
