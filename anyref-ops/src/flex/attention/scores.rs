//! Scores of a tile: bias, mask and softmax, in one pass while they are in cache.

use super::super::math::{PARTS, exp, map_sum, max, sum, total};
use super::super::simd::Simd;

/// The score of a masked key. Finite, so that a query with every key masked attends to all alike.
pub(crate) const MASKED: f32 = -1.0e30;

/// A row whose largest score is below this has every key masked.
pub(crate) const ALL_MASKED: f32 = -0.5e30;

/// Bias and mask of one row of scores.
pub(crate) struct RowBias<'a> {
    /// Bias of the key rows of the tile, and of the key columns.
    pub(crate) position: Option<(&'a [f32], &'a [f32])>,
    /// One for each key of the tile, or one for all.
    pub(crate) mask: Option<&'a [u8]>,
    /// Keys of the tile, the others being padding.
    pub(crate) keys: usize,
    /// Keys of the tile that a causal query sees.
    pub(crate) visible: usize,
}

impl RowBias<'_> {
    /// Returns whether nothing but the padding is to be masked.
    #[inline(always)]
    fn is_padding(&self) -> bool {
        self.position.is_none() && self.mask.is_none() && self.visible >= self.keys
    }

    #[inline(always)]
    fn apply(&self, row: &mut [f32]) {
        if let Some((heights, widths)) = self.position {
            for (row, &height) in row.chunks_exact_mut(widths.len()).zip(heights) {
                for (score, &width) in row.iter_mut().zip(widths) {
                    *score += height + width;
                }
            }
        }
        match self.mask {
            Some([one]) if self.keys != 1 && *one != 0 => row.fill(MASKED),
            Some(mask) => {
                for (score, &masked) in row.iter_mut().zip(mask) {
                    *score = if masked != 0 { MASKED } else { *score };
                }
            }
            None => {}
        }
        row[self.visible..].fill(MASKED);
        row[self.keys..].fill(f32::NEG_INFINITY);
    }
}

/// Turns a row of a single vector, of which the first `keys` are scores, into `exp(score - max)` in
/// registers; the result is the maximum and the sum, as those of a longer row.
#[inline(always)]
fn narrow_row<S: Simd>(row: &mut [f32; PARTS], keys: usize, highest: f32) -> (f32, f32) {
    let mut scores = *row;
    for (i, score) in scores.iter_mut().enumerate() {
        *score = if i < keys { *score } else { f32::NEG_INFINITY };
    }
    let mut most = scores.map(|score| if score > highest { score } else { highest });
    let mut half = PARTS / 2;
    while half > 0 {
        for i in 0..half {
            most[i] = if most[i + half] > most[i] {
                most[i + half]
            } else {
                most[i]
            };
        }
        half /= 2;
    }
    let new = most[0];
    for score in &mut scores {
        *score = exp::<S>(*score - new);
    }
    *row = scores;
    (new, total(scores))
}

/// Turns a row of scores into `exp(score - max)` and follows the maximum and the sum; the result is
/// what earlier sums are to be multiplied by.
#[inline(always)]
pub(crate) fn softmax_row<S: Simd>(
    row: &mut [f32],
    bias: &RowBias<'_>,
    highest: &mut f32,
    total: &mut f32,
) -> f32 {
    let (new, sum) = match <&mut [f32; PARTS]>::try_from(&mut *row) {
        Ok(row) if bias.is_padding() => narrow_row::<S>(row, bias.keys, *highest),
        _ => {
            bias.apply(row);
            let new = max(row, *highest);
            (new, map_sum(row, |score| exp::<S>(score - new)))
        }
    };
    let earlier = if *total == 0.0 {
        0.0
    } else {
        exp::<S>(*highest - new)
    };
    *total = *total * earlier + sum;
    *highest = new;
    earlier
}

/// Inputs of [`softmax_row_backward`].
pub(crate) struct RowBackward<'a> {
    /// Scores in, probabilities out.
    pub(crate) scores: &'a mut [f32],
    /// Gradients of the probabilities in, of the scores out.
    pub(crate) grads: &'a mut [f32],
    /// Bias and mask.
    pub(crate) bias: &'a RowBias<'a>,
    /// The largest score and the reciprocal of the sum, from the forward pass.
    pub(crate) highest: f32,
    pub(crate) inverse: f32,
    /// The product of the output and its gradient.
    pub(crate) along: f32,
}

/// Recomputes the probabilities of a row and turns their gradients into those of the scores.
#[inline(always)]
pub(crate) fn softmax_row_backward<S: Simd>(row: RowBackward<'_>) {
    row.bias.apply(row.scores);
    // A masked score is a constant: with all keys masked, no score has a gradient.
    let factor = if row.highest < ALL_MASKED { 0.0 } else { 1.0 };
    for (score, grad) in row.scores.iter_mut().zip(row.grads) {
        let probability = exp::<S>(*score - row.highest) * row.inverse;
        *score = probability;
        *grad = factor * probability * (*grad - row.along);
    }
}

/// Adds a row of score gradients to those of the relative positions.
#[inline(always)]
pub(crate) fn position_row(grads: &[f32], heights: &mut [f32], widths: &mut [f32]) {
    let columns = widths.len();
    for (height, row) in heights.iter_mut().zip(grads.chunks_exact(columns)) {
        *height += sum(row, |x| x);
        for (width, &grad) in widths.iter_mut().zip(row) {
            *width += grad;
        }
    }
}
