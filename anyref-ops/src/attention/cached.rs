//! Attention to what a cache keeps.

use burn::tensor::{Tensor, backend::Backend};

use super::attention;
#[cfg(feature = "cube")]
use super::in_one_launch;
use super::input::{AttentionInput, CachedAttention};
#[cfg(feature = "cube")]
use crate::CachedRows;

/// Computes [`attention`] to keys and values as a cache keeps them, scaled by
/// `1 / sqrt(head_dim)`. Without gradients the processor widens halves and blocks to f32 as it
/// multiplies them, a block of keys at a time, and GPUs widen halves in the kernel; in all other
/// cases keys and values are widened as a whole before the product.
///
/// # Shapes
/// - output: `[batch, heads, queries, value_dim]`
pub fn cached_attention<B: Backend>(input: CachedAttention<B>) -> Tensor<B, 4> {
    #[cfg(feature = "flex")]
    let input = match crate::flex::cached_attention(input) {
        Ok(output) => return output,
        Err(input) => input,
    };
    #[cfg(feature = "cube")]
    if let (CachedRows::Float(key), CachedRows::Float(value)) = (&input.key, &input.value) {
        // Kernels widen halves as they read them.
        let narrow = AttentionInput::new(input.query.clone(), key.clone(), value.clone());
        let narrow = narrow.with_mask(input.mask.clone());
        if let Some(output) = in_one_launch(&narrow.with_causal(input.causal)) {
            return output;
        }
    }
    let dtype = input.query.dtype();
    let (key, value) = (input.key.values(dtype), input.value.values(dtype));
    let wide = AttentionInput::new(input.query, key, value);
    attention(wide.with_mask(input.mask).with_causal(input.causal))
}
