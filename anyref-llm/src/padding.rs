//! Padding masks, in which `true` is padding, and the positions that follow from them.

use burn::tensor::{Bool, Int, Tensor, backend::Backend};

/// Mask `[batch, length]` without padding.
pub(crate) fn no_padding<B: Backend>(
    batch: usize,
    length: usize,
    device: &B::Device,
) -> Tensor<B, 2, Bool> {
    Tensor::<B, 2, Int>::zeros([batch, length], device).bool()
}

/// Positions that skip padding: `[pad, pad, a, b]` gives `[0, 0, 0, 1]`.
pub(crate) fn positions<B: Backend>(padding: Tensor<B, 2, Bool>) -> Tensor<B, 2, Int> {
    (padding.bool_not().int().cumsum(1) - 1).clamp_min(0)
}
