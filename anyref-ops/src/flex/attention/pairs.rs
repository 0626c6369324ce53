//! Products of attention that round queries, keys, weights and values to bf16, on processors that
//! multiply them in pairs. Sums and softmax are f32.

use core::ops::Range;

use rayon::prelude::*;

use super::super::linear::bf16_dot::{self, Pair, as_floats, as_floats_mut};
use super::super::linear::blocks::{BLOCK, Blocks};
use super::super::pack::{interleave, pack_rows, pack_transposed};
use super::super::product::{packed_len, padded};
use super::problem::{Extent, tiles};
use super::products::{Products, Sizes};
use super::views::{QUERIES, Views};

/// Keys and values of a head in pairs, in blocks.
struct Packed {
    keys: Vec<Pair>,
    values: Vec<Pair>,
    key_len: usize,
    value_len: usize,
    /// Pairs of a block in the order of its rows.
    space: Vec<Pair>,
}

impl Packed {
    fn new(views: &Views<'_>) -> Self {
        let Extent {
            keys,
            head_dim,
            value_dim,
            ..
        } = views.extent;
        let (blocks, block) = (keys.div_ceil(views.block), views.block);
        let key_len = packed_len(head_dim.div_ceil(2), block);
        let value_len = packed_len(block.div_ceil(2), value_dim);
        let space = (block * head_dim.div_ceil(2)).max(block.div_ceil(2) * value_dim);
        Self {
            keys: vec![0; blocks * key_len],
            values: vec![0; blocks * value_len],
            key_len,
            value_len,
            space: vec![0; space],
        }
    }

    /// Rounds and packs head `h` of batch entry `b`.
    fn fill(&mut self, views: &Views<'_>, b: usize, h: usize) {
        let Extent {
            keys,
            head_dim,
            value_dim,
            ..
        } = views.extent;
        let Self { space, .. } = self;
        let pairs = head_dim.div_ceil(2);
        let blocks = self.keys.chunks_exact_mut(self.key_len);
        let blocks = blocks.zip(self.values.chunks_exact_mut(self.value_len));
        let zeros = vec![0.0; value_dim];
        for (block, (k, v)) in tiles(keys, views.block).zip(blocks) {
            for (key, space) in block.clone().zip(space.chunks_exact_mut(pairs)) {
                bf16_dot::round(views.key.row(b, h, key), space);
            }
            let (source, packed) = (as_floats(space), as_floats_mut(k));
            pack_transposed(source, pairs, pairs, block.len(), packed);
            let both = block.clone().step_by(2);
            for (key, space) in both.zip(space.chunks_exact_mut(value_dim)) {
                let high = match key + 1 < block.end {
                    true => views.value.row(b, h, key + 1),
                    false => &zeros,
                };
                bf16_dot::round_rows(views.value.row(b, h, key), high, space);
            }
            let (source, packed) = (as_floats(space), as_floats_mut(v));
            pack_rows(
                source,
                value_dim,
                block.len().div_ceil(2),
                value_dim,
                packed,
            );
        }
    }
}

/// Products of tiles of a head.
pub(super) struct Pairs<'a> {
    packed: &'a Packed,
    space: &'a mut Space,
}

/// Rounded rows of a tile, in blocks of interleaved rows.
struct Space {
    /// Blocks of queries.
    query: Vec<Pair>,
    /// Block of weights.
    weights: Vec<Pair>,
    /// Rows of a block before they are interleaved.
    rows: Vec<Pair>,
}

impl Space {
    fn new(views: &Views<'_>) -> Self {
        let (block, width) = (views.block.div_ceil(2), views.extent.head_dim.div_ceil(2));
        let blocks = views.extent.queries.min(QUERIES).div_ceil(BLOCK);
        Self {
            query: vec![0; blocks * BLOCK * width],
            weights: vec![0; BLOCK * block],
            rows: vec![0; BLOCK * block.max(width)],
        }
    }
}

/// Rounds the first `length` values of some rows, `stride` apart, and interleaves them.
fn round_block(
    values: &[f32],
    stride: usize,
    length: usize,
    count: usize,
    rows: &mut [Pair],
    out: &mut [Pair],
) {
    let pairs = length.div_ceil(2);
    let all = values.chunks(stride).take(count);
    for (row, pairs) in all.zip(rows.chunks_exact_mut(pairs)) {
        bf16_dot::round(&row[..length], pairs);
    }
    let mut rows = rows.chunks_exact(pairs).take(count);
    let rows: [_; BLOCK] = core::array::from_fn(|_| rows.next().unwrap_or(&[]));
    interleave(rows, out, BLOCK);
}

impl Products for Pairs<'_> {
    fn take(&mut self, query: &[f32], width: usize) {
        let Space {
            query: out, rows, ..
        } = &mut *self.space;
        let blocks = query.chunks(BLOCK * width);
        let outs = out.chunks_exact_mut(BLOCK * width.div_ceil(2));
        for (query, out) in blocks.zip(outs) {
            round_block(query, width, width, query.len() / width, rows, out);
        }
    }

    fn prepare(&mut self, _: usize, _: &Range<usize>) {}

    fn scores(&mut self, sizes: Sizes, _: &[f32], scores: &mut [f32]) {
        let Packed { keys, key_len, .. } = self.packed;
        let pairs = sizes.width.div_ceil(2);
        let blocks = self.space.query.chunks_exact(BLOCK * pairs);
        let scores = &mut scores[..sizes.rows * sizes.stride];
        for (a, c) in blocks.zip(scores.chunks_mut(BLOCK * sizes.stride)) {
            bf16_dot::product(Blocks {
                a,
                panels: &keys[sizes.index * key_len..][..packed_len(pairs, sizes.keys)],
                c,
                stride: sizes.stride,
                width: sizes.keys,
                accumulate: sizes.accumulate,
            });
        }
    }

    fn mixed(&mut self, sizes: Sizes, scores: &[f32], out: &mut [f32]) {
        let Packed {
            values, value_len, ..
        } = self.packed;
        let Space { weights, rows, .. } = &mut *self.space;
        let (pairs, stride) = (sizes.keys.div_ceil(2), padded(sizes.width));
        let scores = scores[..sizes.rows * sizes.stride].chunks(BLOCK * sizes.stride);
        let out = &mut out[..sizes.rows * stride];
        for (scores, c) in scores.zip(out.chunks_mut(BLOCK * stride)) {
            let a = &mut weights[..BLOCK * pairs];
            // The scores after the last key are zero.
            let count = c.len() / stride;
            round_block(scores, sizes.stride, 2 * pairs, count, rows, a);
            bf16_dot::product(Blocks {
                a,
                panels: &values[sizes.index * value_len..][..packed_len(pairs, sizes.width)],
                c,
                stride,
                width: sizes.width,
                accumulate: sizes.accumulate,
            });
        }
    }
}

/// Calls `attend` with the index of each of the tiles that every head is cut into, heads in order,
/// and the products of its head, on all threads; `new` makes what a thread needs besides.
pub(super) fn each_tile<T>(
    views: &Views<'_>,
    tiles_of_head: usize,
    new: impl Fn() -> T + Sync + Send,
    attend: impl Fn(&mut Pairs<'_>, &mut T, usize) + Sync + Send,
) {
    let Extent {
        batch, kv_heads, ..
    } = views.extent;
    // Heads that share keys and values.
    let pairs = batch * kv_heads;
    let tiles = views.extent.group() * tiles_of_head;
    // Few heads are cut into parts, each of which packs its keys and values.
    let parts = (4 * rayon::current_num_threads()).div_ceil(pairs);
    let part = tiles.div_ceil(parts);
    let parts = tiles.div_ceil(part);
    (0..pairs * parts).into_par_iter().for_each_init(
        || (Packed::new(views), Space::new(views), new()),
        |(packed, space, more), index| {
            let (pair, first) = (index / parts, index % parts * part);
            packed.fill(views, pair / kv_heads, pair % kv_heads);
            for tile in first..tiles.min(first + part) {
                let (packed, space) = (&*packed, &mut *space);
                attend(&mut Pairs { packed, space }, more, pair * tiles + tile);
            }
        },
    );
}
