//! Keys and values of a head, packed for products.

use super::super::buffer::zeros;
use super::super::pack::{pack_rows, pack_transposed};
use super::super::product::{Matrix, Product, packed_len, padded, product};
use super::held::{Narrow, Widen};
use super::problem::{Extent, tiles};
use super::products::{Products, Sizes};
use super::views::Views;
use core::ops::Range;

/// Source of packed blocks of keys and values, whose products are those of f32.
pub(super) trait Blocks {
    /// Makes the block of an index ready, which holds some keys.
    fn prepare(&mut self, index: usize, keys: &Range<usize>);

    /// Transposed keys of the block that is ready.
    fn keys(&self, index: usize) -> &[f32];

    /// Values of the block that is ready.
    fn values(&self, index: usize) -> &[f32];
}

impl<B: Blocks> Products for B {
    fn take(&mut self, _: &[f32], _: usize) {}

    fn prepare(&mut self, index: usize, keys: &Range<usize>) {
        Blocks::prepare(self, index, keys);
    }

    fn scores(&mut self, sizes: Sizes, query: &[f32], scores: &mut [f32]) {
        product(Product {
            a: Matrix {
                values: query,
                row: sizes.width,
                column: 1,
            },
            b: self.keys(sizes.index),
            c: scores,
            stride: sizes.stride,
            rows: sizes.rows,
            depth: sizes.width,
            width: sizes.keys,
            accumulate: sizes.accumulate,
        });
    }

    fn mixed(&mut self, sizes: Sizes, scores: &[f32], out: &mut [f32]) {
        product(Product {
            a: Matrix {
                values: scores,
                row: sizes.stride,
                column: 1,
            },
            b: self.values(sizes.index),
            c: out,
            stride: padded(sizes.width),
            rows: sizes.rows,
            depth: sizes.keys,
            width: sizes.width,
            accumulate: sizes.accumulate,
        });
    }
}

/// All blocks of a head.
pub(super) struct Packed {
    keys: Vec<f32>,
    values: Vec<f32>,
    key_len: usize,
    value_len: usize,
}

impl Packed {
    pub(super) fn new(views: &Views<'_>) -> Self {
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
            keys: zeros(blocks * key_len),
            values: zeros(blocks * value_len),
            key_len,
            value_len,
        }
    }

    /// Packs head `h` of batch entry `b`.
    pub(super) fn fill(&mut self, views: &Views<'_>, b: usize, h: usize) {
        let blocks = tiles(views.extent.keys, views.block);
        let keys = self.keys.chunks_exact_mut(self.key_len);
        let packed = keys.zip(self.values.chunks_exact_mut(self.value_len));
        for (block, (keys, values)) in blocks.zip(packed) {
            pack_block(views, ((b, h), block), keys, values);
        }
    }
}

impl Blocks for &Packed {
    fn prepare(&mut self, _: usize, _: &Range<usize>) {}

    fn keys(&self, index: usize) -> &[f32] {
        &self.keys[index * self.key_len..][..self.key_len]
    }

    fn values(&self, index: usize) -> &[f32] {
        &self.values[index * self.value_len..][..self.value_len]
    }
}

/// Memory of one packed block.
struct PackedBlock {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl PackedBlock {
    fn new<R>(views: &Views<'_, R>) -> Self {
        let Extent {
            head_dim,
            value_dim,
            ..
        } = views.extent;
        Self {
            keys: vec![0.0; packed_len(head_dim, views.block)],
            values: vec![0.0; packed_len(views.block, value_dim)],
        }
    }
}

/// One block at a time, for queries of a single tile, which read each block once.
pub(super) struct NextBlock<'a> {
    views: &'a Views<'a>,
    /// Batch entry and key/value head.
    pub(super) at: (usize, usize),
    packed: PackedBlock,
}

impl<'a> NextBlock<'a> {
    pub(super) fn new(views: &'a Views<'a>) -> Self {
        Self {
            views,
            at: (0, 0),
            packed: PackedBlock::new(views),
        }
    }
}

impl Blocks for NextBlock<'_> {
    fn prepare(&mut self, _: usize, keys: &Range<usize>) {
        let (place, packed) = ((self.at, keys.clone()), &mut self.packed);
        pack_block(self.views, place, &mut packed.keys, &mut packed.values);
    }

    fn keys(&self, _: usize) -> &[f32] {
        &self.packed.keys
    }

    fn values(&self, _: usize) -> &[f32] {
        &self.packed.values
    }
}

/// Packs the keys and values of a block of a head.
fn pack_block(
    views: &Views<'_>,
    ((b, h), block): ((usize, usize), Range<usize>),
    keys: &mut [f32],
    values: &mut [f32],
) {
    let Extent {
        head_dim,
        value_dim,
        ..
    } = views.extent;
    let (source, stride) = views.key.tail(b, h, block.start);
    pack_transposed(source, stride, head_dim, block.len(), keys);
    let (source, stride) = views.value.tail(b, h, block.start);
    pack_rows(source, stride, block.len(), value_dim, values);
}

/// One block at a time, of rows that are narrower than f32: no more is ever held wide.
pub(super) struct OneBlock<'a, R> {
    views: &'a Views<'a, R>,
    /// Batch entry and key/value head.
    pub(super) at: (usize, usize),
    wide: Vec<f32>,
    packed: PackedBlock,
}

impl<'a, R> OneBlock<'a, R> {
    pub(super) fn new(views: &'a Views<'a, R>) -> Self {
        let Extent {
            head_dim,
            value_dim,
            ..
        } = views.extent;
        Self {
            views,
            at: (0, 0),
            wide: vec![0.0; views.block * head_dim.max(value_dim)],
            packed: PackedBlock::new(views),
        }
    }
}

impl<R: Narrow> Blocks for OneBlock<'_, R> {
    fn prepare(&mut self, _: usize, keys: &Range<usize>) {
        let Self {
            views,
            at,
            wide,
            packed,
        } = self;
        let Extent {
            head_dim,
            value_dim,
            ..
        } = views.extent;
        let count = keys.len();
        Widen {
            rows: &views.key,
            at: *at,
            first: keys.start,
            width: head_dim,
            out: &mut wide[..count * head_dim],
        }
        .copy();
        pack_transposed(wide, head_dim, head_dim, count, &mut packed.keys);
        Widen {
            rows: &views.value,
            at: *at,
            first: keys.start,
            width: value_dim,
            out: &mut wide[..count * value_dim],
        }
        .copy();
        pack_rows(wide, value_dim, count, value_dim, &mut packed.values);
    }

    fn keys(&self, _: usize) -> &[f32] {
        &self.packed.keys
    }

    fn values(&self, _: usize) -> &[f32] {
        &self.packed.values
    }
}
