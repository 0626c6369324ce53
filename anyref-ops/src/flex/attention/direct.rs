//! Attention of few queries, forward: keys and values are read in place.

use super::super::simd::{Kernel, Simd};
use super::held::Held;
use super::outputs::Outputs;
use super::scores::softmax_row;
use super::views::Views;

/// Up to this many queries, packing the keys would cost more than it gains.
pub(super) const DIRECT: usize = 4;

/// One query against keys and values read in place, as in generation.
pub(super) struct Direct<'a, R> {
    pub(super) views: &'a Views<'a, R>,
    pub(super) at: (usize, usize, usize),
    pub(super) scores: &'a mut [f32],
    pub(super) outputs: &'a Outputs<'a>,
}

impl<R: Held> Kernel for Direct<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            views,
            at: (b, h, i),
            scores,
            outputs,
        } = self;
        let keys = views.extent.keys;
        let kv_head = h / views.extent.group();
        let query = views.query.row(b, h, i);
        for (j, score) in scores[..keys].iter_mut().enumerate() {
            *score = views.scale * views.key.dot::<S>((b, kv_head, j), query);
        }
        let (mut highest, mut total) = (f32::NEG_INFINITY, 0.0);
        let bias = views.bias(b, h, i, &(0..keys));
        softmax_row::<S>(scores, &bias, &mut highest, &mut total);
        let inverse = 1.0 / total;
        // SAFETY: each row belongs to one query.
        let (out, statistics) =
            unsafe { (outputs.output.row(b, h, i), outputs.statistics.row(b, h, i)) };
        out.fill(0.0);
        for (j, &score) in scores[..keys].iter().enumerate() {
            let weight = score * inverse;
            views.value.add_to::<S>((b, kv_head, j), weight, out);
        }
        statistics.copy_from_slice(&[highest, inverse]);
    }
}
