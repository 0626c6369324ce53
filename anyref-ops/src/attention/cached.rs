//! Attention to what a cache keeps.

use burn::tensor::{Tensor, backend::Backend};

use super::attention;
use super::input::{AttentionInput, CachedAttention};

/// [`attention`] to keys and values as a cache keeps them, scaled by `1 / sqrt(head_dim)`. On the
/// processor without gradients halves and blocks are widened where they are multiplied, a block of
/// keys at a time; elsewhere all of them are.
///
/// # Shapes
/// - output: `[batch, heads, queries, value_dim]`
pub fn cached_attention<B: Backend>(input: CachedAttention<B>) -> Tensor<B, 4> {
    #[cfg(feature = "flex")]
    let input = match crate::flex::cached_attention(input) {
        Ok(output) => return output,
        Err(input) => input,
    };
    let dtype = input.query.dtype();
    let (key, value) = (input.key.values(dtype), input.value.values(dtype));
    let wide = AttentionInput::new(input.query, key, value);
    attention(wide.with_mask(input.mask).with_causal(input.causal))
}
