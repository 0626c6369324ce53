//! Attention, forward: tiles of queries against blocks of keys, with a running softmax.

use super::super::buffer::SMALL;
use super::super::pack::{pack_rows, pack_transposed};
use super::super::product::{Matrix, Product, packed_len, padded, product};
use super::super::simd::{Kernel, Simd, dispatch};
use super::direct::{DIRECT, Direct};
use super::outputs::Outputs;
use super::problem::{Extent, Output, Problem, tiles};
use super::scores::{ALL_MASKED, softmax_row};
use super::views::{CopyScaled, QUERIES, STATISTICS, Views, score_stride};
use burn_flex::FlexTensor;
use core::ops::Range;
use rayon::prelude::*;

/// Keys and values of a head, packed by blocks.
struct Packed {
    keys: Vec<f32>,
    values: Vec<f32>,
    key_len: usize,
    value_len: usize,
}

impl Packed {
    fn new(views: &Views<'_>) -> Self {
        let Extent {
            keys,
            head_dim,
            value_dim,
            ..
        } = views.extent;
        let blocks = keys.div_ceil(views.block);
        let key_len = packed_len(head_dim, views.block);
        let value_len = packed_len(views.block, value_dim);
        Self {
            keys: vec![0.0; blocks * key_len],
            values: vec![0.0; blocks * value_len],
            key_len,
            value_len,
        }
    }

    /// Packs head `h` of batch entry `b`.
    fn fill(&mut self, views: &Views<'_>, b: usize, h: usize) {
        let Extent {
            keys,
            head_dim,
            value_dim,
            ..
        } = views.extent;
        let blocks = tiles(keys, views.block);
        let packed = self.keys.chunks_exact_mut(self.key_len);
        for (block, (k, v)) in blocks.zip(packed.zip(self.values.chunks_exact_mut(self.value_len)))
        {
            let (source, stride) = views.key.tail(b, h, block.start);
            pack_transposed(source, stride, head_dim, block.len(), k);
            let (source, stride) = views.value.tail(b, h, block.start);
            pack_rows(source, stride, block.len(), value_dim, v);
        }
    }

    /// The transposed keys of a block.
    fn keys(&self, block: usize) -> &[f32] {
        &self.keys[block * self.key_len..][..self.key_len]
    }

    /// The values of a block.
    fn values(&self, block: usize) -> &[f32] {
        &self.values[block * self.value_len..][..self.value_len]
    }
}

/// Buffers of a task.
struct Scratch {
    query: Vec<f32>,
    scores: Vec<f32>,
    output: Vec<f32>,
    highest: Vec<f32>,
    total: Vec<f32>,
}

impl Scratch {
    fn new(views: &Views<'_>) -> Self {
        let Extent {
            queries,
            head_dim,
            value_dim,
            ..
        } = views.extent;
        let tile = queries.min(QUERIES);
        Self {
            query: vec![0.0; tile * head_dim],
            scores: vec![0.0; tile * score_stride(views.block)],
            output: vec![0.0; tile * padded(value_dim)],
            highest: vec![0.0; tile],
            total: vec![0.0; tile],
        }
    }
}

/// A tile of queries of a head.
struct Tile {
    b: usize,
    h: usize,
    queries: Range<usize>,
}

/// The softmax of a tile of scores against a block of keys.
struct SoftmaxTile<'a> {
    views: &'a Views<'a>,
    tile: &'a Tile,
    block: &'a Range<usize>,
    first: bool,
    scratch: &'a mut Scratch,
}

impl Kernel for SoftmaxTile<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            views,
            tile,
            block,
            first,
            scratch,
        } = self;
        let Tile { b, h, ref queries } = *tile;
        let stride = score_stride(views.block);
        let width = padded(views.extent.value_dim);
        for (r, i) in queries.clone().enumerate() {
            let earlier = softmax_row::<S>(
                &mut scratch.scores[r * stride..][..padded(block.len())],
                &views.bias(b, h, i, block),
                &mut scratch.highest[r],
                &mut scratch.total[r],
            );
            if !first && earlier != 1.0 {
                for x in &mut scratch.output[r * width..][..width] {
                    *x *= earlier;
                }
            }
        }
    }
}

/// Computes the weighted values, maxima and sums of a tile against the first `seen` keys, in the
/// scratch.
fn run_tile(views: &Views<'_>, packed: &Packed, tile: &Tile, seen: usize, scratch: &mut Scratch) {
    let Extent {
        keys,
        head_dim,
        value_dim,
        ..
    } = views.extent;
    let queries = &tile.queries;
    let rows = queries.len();
    let stride = score_stride(views.block);
    let width = padded(value_dim);
    scratch.highest.fill(f32::NEG_INFINITY);
    scratch.total.fill(0.0);
    for (index, block) in tiles(keys, views.block).enumerate() {
        if block.start >= seen {
            break;
        }
        product(Product {
            a: Matrix {
                values: &scratch.query,
                row: head_dim,
                column: 1,
            },
            b: packed.keys(index),
            c: &mut scratch.scores,
            stride,
            rows,
            depth: head_dim,
            width: block.len(),
            accumulate: false,
        });
        dispatch(SoftmaxTile {
            views,
            tile,
            block: &block,
            first: index == 0,
            scratch,
        });
        product(Product {
            a: Matrix {
                values: &scratch.scores,
                row: stride,
                column: 1,
            },
            b: packed.values(index),
            c: &mut scratch.output,
            stride: width,
            rows,
            depth: block.len(),
            width: value_dim,
            accumulate: index > 0,
        });
    }
}

fn forward_tile(
    views: &Views<'_>,
    packed: &Packed,
    tile: &Tile,
    scratch: &mut Scratch,
    outputs: &Outputs<'_>,
) {
    let Tile { b, h, ref queries } = *tile;
    let keys = views.extent.keys;
    dispatch(CopyScaled {
        rows: &views.query,
        at: (b, h),
        range: queries,
        scale: views.scale,
        out: &mut scratch.query,
    });
    let seen = views.seen(queries);
    run_tile(views, packed, tile, seen, scratch);
    // A query that sees nothing attends to all keys alike, those of the skipped blocks too.
    if seen < keys
        && scratch.highest[..queries.len()]
            .iter()
            .any(|&x| x < ALL_MASKED)
    {
        run_tile(views, packed, tile, keys, scratch);
    }
    dispatch(Finish {
        tile,
        scratch,
        outputs,
    });
}

/// Divides a tile by its sums and writes it out.
struct Finish<'a> {
    tile: &'a Tile,
    scratch: &'a Scratch,
    outputs: &'a Outputs<'a>,
}

impl Kernel for Finish<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            tile,
            scratch,
            outputs,
        } = self;
        let Tile { b, h, ref queries } = *tile;
        for (r, i) in queries.clone().enumerate() {
            let inverse = 1.0 / scratch.total[r];
            // SAFETY: each row belongs to one tile.
            let (out, statistics) =
                unsafe { (outputs.output.row(b, h, i), outputs.statistics.row(b, h, i)) };
            let row = &scratch.output[r * padded(out.len())..];
            for (out, &x) in out.iter_mut().zip(row) {
                *out = x * inverse;
            }
            statistics.copy_from_slice(&[scratch.highest[r], inverse]);
        }
    }
}

/// The output and, for each query, [`STATISTICS`].
pub(super) fn forward(problem: &Problem) -> (FlexTensor, FlexTensor) {
    let views = Views::new(problem);
    let Extent {
        batch,
        heads,
        kv_heads,
        queries,
        value_dim,
        ..
    } = views.extent;
    let group = views.extent.group();
    let mut output = Output::new([batch, heads, queries, value_dim], &problem.query);
    let mut statistics = Output::new([batch, heads, queries, STATISTICS], &problem.query);
    let outputs = Outputs {
        output: output.writer(),
        statistics: statistics.writer(),
    };
    let pairs = batch * kv_heads;
    if queries <= DIRECT {
        let scores = || vec![0.0; padded(views.extent.keys)];
        let one_head = |scores: &mut Vec<f32>, head: usize| {
            let (b, h) = (head / heads, head % heads);
            (0..queries).for_each(|i| {
                dispatch(Direct {
                    views: &views,
                    at: (b, h, i),
                    scores,
                    outputs: &outputs,
                });
            });
        };
        let Extent { keys, head_dim, .. } = views.extent;
        if batch * heads * queries * keys * head_dim <= 4 * SMALL {
            let mut scores = scores();
            (0..batch * heads).for_each(|head| one_head(&mut scores, head));
        } else {
            (0..batch * heads)
                .into_par_iter()
                .for_each_init(scores, one_head);
        }
        return (output.into_tensor(), statistics.into_tensor());
    }
    let tiles_of_head = queries.div_ceil(QUERIES);
    if pairs >= 4 * rayon::current_num_threads() || group * tiles_of_head == 1 {
        // Enough heads: each is packed where it is used.
        (0..pairs).into_par_iter().for_each_init(
            || (Packed::new(&views), Scratch::new(&views)),
            |(packed, scratch), pair| {
                let (b, kv_head) = (pair / kv_heads, pair % kv_heads);
                packed.fill(&views, b, kv_head);
                for h in kv_head * group..(kv_head + 1) * group {
                    for queries in tiles(queries, QUERIES) {
                        forward_tile(&views, packed, &Tile { b, h, queries }, scratch, &outputs);
                    }
                }
            },
        );
    } else {
        let packed: Vec<Packed> = (0..pairs)
            .into_par_iter()
            .map(|pair| {
                let mut packed = Packed::new(&views);
                packed.fill(&views, pair / kv_heads, pair % kv_heads);
                packed
            })
            .collect();
        (0..batch * heads * tiles_of_head)
            .into_par_iter()
            .for_each_init(
                || Scratch::new(&views),
                |scratch, task| {
                    let (head, index) = (task / tiles_of_head, task % tiles_of_head);
                    let (b, h) = (head / heads, head % heads);
                    let start = index * QUERIES;
                    let tile = Tile {
                        b,
                        h,
                        queries: start..(start + QUERIES).min(queries),
                    };
                    forward_tile(
                        &views,
                        &packed[b * kv_heads + h / group],
                        &tile,
                        scratch,
                        &outputs,
                    );
                },
            );
    }
    (output.into_tensor(), statistics.into_tensor())
}
