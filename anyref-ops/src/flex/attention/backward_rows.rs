//! The backward pass by rows: the softmax and the relative positions.

use super::super::math::dot;
use super::super::product::padded;
use super::super::simd::{Kernel, Simd};
use super::backward_job::Job;
use super::backward_scratch::Scratch;
use super::scores::{RowBackward, position_row, softmax_row_backward};
use super::views::score_stride;
use core::ops::Range;

/// The products of the rows of the output with those of its gradient.
pub(super) struct Along<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) at: (usize, usize),
    pub(super) queries: &'a Range<usize>,
    pub(super) out: &'a mut [f32],
}

impl Kernel for Along<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (b, h) = self.at;
        for (out, i) in self.out.iter_mut().zip(self.queries.clone()) {
            *out = dot::<S>(self.job.grad.row(b, h, i), self.job.output.row(b, h, i));
        }
    }
}

/// Scores and gradients of probabilities of a tile into probabilities and gradients of scores.
pub(super) struct SoftmaxTile<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) at: (usize, usize),
    pub(super) queries: &'a Range<usize>,
    pub(super) keys: &'a Range<usize>,
    pub(super) scratch: &'a mut Scratch,
}

impl Kernel for SoftmaxTile<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            job,
            at: (b, h),
            queries,
            keys,
            scratch,
        } = self;
        let stride = score_stride(job.views.block);
        for (r, i) in queries.clone().enumerate() {
            let statistics = job.statistics.row(b, h, i);
            let grads = &mut scratch.score_grads[r * stride..][..padded(keys.len())];
            softmax_row_backward::<S>(RowBackward {
                scores: &mut scratch.scores[r * stride..][..padded(keys.len())],
                grads,
                bias: &job.views.bias(b, h, i, keys),
                highest: statistics[0],
                inverse: statistics[1],
                along: scratch.along[r],
            });
            if let Some([height, columns]) = &job.writers.position {
                // SAFETY: each row of gradients belongs to one query, that to one task.
                let (height, columns) = unsafe { (height.row(b, h, i), columns.row(b, h, i)) };
                let height = &mut height[job.views.grid_rows(keys)];
                position_row(&grads[..keys.len()], height, columns);
            }
        }
    }
}
