//! Attention, backward: probabilities are recomputed tile by tile from the saved maxima and sums.

use super::super::pack::{pack_rows, pack_transposed};
use super::super::product::{Matrix, Product, packed_len, padded, product};
use super::super::simd::dispatch;
use super::backward_job::{Job, Writers};
use super::backward_rows::{Along, SoftmaxTile};
use super::backward_scratch::{Packed, Scratch};
use super::problem::{Extent, Output, Problem, rows, tiles, with_slices};
use super::scores::ALL_MASKED;
use super::views::{CopyScaled, QUERIES, Views, score_stride};
use burn_flex::FlexTensor;
use core::ops::Range;
use rayon::prelude::*;

/// Values that the forward pass saved, and the gradient of its output.
pub(super) struct Saved<'a> {
    pub(super) output: &'a FlexTensor,
    pub(super) statistics: &'a FlexTensor,
    pub(super) grad: &'a FlexTensor,
}

/// Query, key, value and, if there are relative positions, height and width.
pub(super) type Gradients = [Option<FlexTensor>; 5];

impl Job<'_> {
    /// Packs a key/value head.
    fn pack(&self, b: usize, kv_head: usize, packed: &mut Packed) {
        let views = &self.views;
        let Extent {
            keys,
            head_dim,
            value_dim,
            ..
        } = views.extent;
        for (index, block) in tiles(keys, views.block).enumerate() {
            let (source, stride) = views.key.tail(b, kv_head, block.start);
            let len = packed_len(head_dim, views.block);
            let out = &mut packed.keys_transposed[index * len..][..len];
            pack_transposed(source, stride, head_dim, block.len(), out);
            let len = packed_len(views.block, head_dim);
            let out = &mut packed.keys[index * len..][..len];
            pack_rows(source, stride, block.len(), head_dim, out);
            let (source, stride) = views.value.tail(b, kv_head, block.start);
            let len = packed_len(value_dim, views.block);
            let out = &mut packed.values_transposed[index * len..][..len];
            pack_transposed(source, stride, value_dim, block.len(), out);
        }
    }

    /// Prepares a tile of queries: scaled queries, output gradients and their product with the
    /// output.
    fn start_tile(&self, (b, h): (usize, usize), queries: &Range<usize>, scratch: &mut Scratch) {
        let Extent {
            head_dim,
            value_dim,
            ..
        } = self.views.extent;
        dispatch(CopyScaled {
            rows: &self.views.query,
            at: (b, h),
            range: queries,
            scale: self.views.scale,
            out: &mut scratch.query,
        });
        dispatch(CopyScaled {
            rows: &self.grad,
            at: (b, h),
            range: queries,
            scale: 1.0,
            out: &mut scratch.grad,
        });
        pack_rows(
            &scratch.query,
            head_dim,
            queries.len(),
            head_dim,
            &mut scratch.packed_query,
        );
        pack_rows(
            &scratch.grad,
            value_dim,
            queries.len(),
            value_dim,
            &mut scratch.packed_grad,
        );
        dispatch(Along {
            job: self,
            at: (b, h),
            queries,
            out: &mut scratch.along,
        });
    }

    /// Leaves probabilities and score gradients of a tile and a block of keys in the scratch.
    fn scores(
        &self,
        (b, h): (usize, usize),
        queries: &Range<usize>,
        (index, keys): (usize, &Range<usize>),
        scratch: &mut Scratch,
    ) {
        let views = &self.views;
        let Extent {
            head_dim,
            value_dim,
            ..
        } = views.extent;
        let stride = score_stride(views.block);
        let (rows, width) = (queries.len(), keys.len());
        let len = packed_len(head_dim, views.block);
        product(Product {
            a: Matrix {
                values: &scratch.query,
                row: head_dim,
                column: 1,
            },
            b: &scratch.packed.keys_transposed[index * len..][..len],
            c: &mut scratch.scores,
            stride,
            rows,
            depth: head_dim,
            width,
            accumulate: false,
        });
        let len = packed_len(value_dim, views.block);
        product(Product {
            a: Matrix {
                values: &scratch.grad,
                row: value_dim,
                column: 1,
            },
            b: &scratch.packed.values_transposed[index * len..][..len],
            c: &mut scratch.score_grads,
            stride,
            rows,
            depth: value_dim,
            width,
            accumulate: false,
        });
        dispatch(SoftmaxTile {
            job: self,
            at: (b, h),
            queries,
            keys,
            scratch,
        });
    }

    /// The products of a tile and a block of keys with the score gradients.
    fn accumulate(
        &self,
        queries: &Range<usize>,
        (index, keys): (usize, &Range<usize>),
        scratch: &mut Scratch,
    ) {
        let Extent {
            head_dim,
            value_dim,
            ..
        } = self.views.extent;
        let stride = score_stride(self.views.block);
        if self.writers.query.is_some() {
            let len = packed_len(self.views.block, head_dim);
            product(Product {
                a: Matrix {
                    values: &scratch.score_grads,
                    row: stride,
                    column: 1,
                },
                b: &scratch.packed.keys[index * len..][..len],
                c: &mut scratch.query_grad,
                stride: padded(head_dim),
                rows: queries.len(),
                depth: keys.len(),
                width: head_dim,
                accumulate: index > 0,
            });
        }
        if self.writers.key.is_some() {
            product(Product {
                a: Matrix {
                    values: &scratch.score_grads,
                    row: 1,
                    column: stride,
                },
                b: &scratch.packed_query,
                c: &mut scratch.key_grad[keys.start * padded(head_dim)..],
                stride: padded(head_dim),
                rows: keys.len(),
                depth: queries.len(),
                width: head_dim,
                accumulate: true,
            });
        }
        if self.writers.value.is_some() {
            product(Product {
                a: Matrix {
                    values: &scratch.scores,
                    row: 1,
                    column: stride,
                },
                b: &scratch.packed_grad,
                c: &mut scratch.value_grad[keys.start * padded(value_dim)..],
                stride: padded(value_dim),
                rows: keys.len(),
                depth: queries.len(),
                width: value_dim,
                accumulate: true,
            });
        }
    }

    /// One tile of queries against all keys that it sees.
    fn tile(&self, (b, h): (usize, usize), queries: Range<usize>, scratch: &mut Scratch) {
        let views = &self.views;
        let Extent { keys, head_dim, .. } = views.extent;
        self.start_tile((b, h), &queries, scratch);
        let blind = queries
            .clone()
            .any(|i| self.statistics.row(b, h, i)[0] < ALL_MASKED);
        let seen = if blind { keys } else { views.seen(&queries) };
        for (index, block) in tiles(keys, views.block).enumerate() {
            if block.start >= seen {
                break;
            }
            self.scores((b, h), &queries, (index, &block), scratch);
            self.accumulate(&queries, (index, &block), scratch);
        }
        if let Some(writer) = &self.writers.query {
            for (r, i) in queries.enumerate() {
                // SAFETY: each query belongs to one task.
                let out = unsafe { writer.row(b, h, i) };
                for (out, &x) in out
                    .iter_mut()
                    .zip(&scratch.query_grad[r * padded(head_dim)..])
                {
                    *out = x * views.scale;
                }
            }
        }
    }

    /// All queries of a key/value head.
    fn head(&self, b: usize, kv_head: usize, scratch: &mut Scratch) {
        let extent = self.views.extent;
        self.pack(b, kv_head, &mut scratch.packed);
        scratch.key_grad.fill(0.0);
        scratch.value_grad.fill(0.0);
        for h in kv_head * extent.group()..(kv_head + 1) * extent.group() {
            for queries in tiles(extent.queries, QUERIES) {
                self.tile((b, h), queries, scratch);
            }
        }
        for (writer, grad) in [
            (&self.writers.key, &scratch.key_grad),
            (&self.writers.value, &scratch.value_grad),
        ] {
            if let Some(writer) = writer {
                for (i, grad) in grad.chunks_exact(grad.len() / extent.keys).enumerate() {
                    // SAFETY: each key belongs to one task.
                    let out = unsafe { writer.row(b, kv_head, i) };
                    out.copy_from_slice(&grad[..out.len()]);
                }
            }
        }
    }
}

/// The gradients that `wanted` asks for.
pub(super) fn backward(problem: &Problem, saved: Saved<'_>, wanted: [bool; 5]) -> Gradients {
    let views = Views::new(problem);
    let grad = with_slices(saved.grad);
    let inputs = [&problem.query, &problem.key, &problem.value];
    let output = |tensor: &FlexTensor| Output::new(tensor.layout().shape().dims(), tensor);
    let mut outputs: [Option<Output>; 3] =
        core::array::from_fn(|i| wanted[i].then(|| output(inputs[i])));
    let mut positions = problem
        .position
        .as_ref()
        .filter(|_| wanted[3] || wanted[4])
        .map(|position| position.each_ref().map(output));
    let [query, key, value] = outputs
        .each_mut()
        .map(|output| output.as_mut().map(Output::writer));
    let (batch, kv_heads) = (views.extent.batch, views.extent.kv_heads);
    let job = Job {
        output: rows(saved.output),
        statistics: rows(saved.statistics),
        grad: rows(&grad),
        writers: Writers {
            query,
            key,
            value,
            position: positions
                .as_mut()
                .map(|outputs| outputs.each_mut().map(Output::writer)),
        },
        views,
    };
    (0..batch * kv_heads).into_par_iter().for_each_init(
        || Scratch::new(&job.views),
        |scratch, pair| job.head(pair / kv_heads, pair % kv_heads, scratch),
    );
    let [query, key, value] = outputs.map(|output| output.map(Output::into_tensor));
    let [height, width] = match positions {
        Some(outputs) => outputs.map(|output| Some(output.into_tensor())),
        None => [None, None],
    };
    [query, key, value, height, width]
}
