//! Masks of attention.

use cubecl::prelude::*;

/// Score of a masked key. Ten times it is below the score of any key.
pub(super) const LOWEST: f32 = -1.0e30;

/// Returns whether a key is masked for a query, by a contiguous mask.
#[cube]
pub(super) fn is_masked<M: Numeric>(
    mask: &Tensor<M>,
    batch: usize,
    head: usize,
    query: usize,
    key: usize,
) -> bool {
    let batch = min(batch, mask.shape(0) - 1);
    let head = min(head, mask.shape(1) - 1);
    let query = min(query, mask.shape(2) - 1);
    let key = min(key, mask.shape(3) - 1);
    let row = (batch * mask.shape(1) + head) * mask.shape(2) + query;
    mask[row * mask.shape(3) + key] != M::from_int(0)
}
