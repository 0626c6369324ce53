//! The tensors of an attention by rows, and how it is cut into tiles.

use super::super::product::padded;
use super::super::simd::{Kernel, Simd};
use super::problem::{Extent, Options, Problem, Rows, mask_rows, rows};
use super::scores::RowBias;
use burn_flex::FlexTensor;
use core::ops::Range;

/// Queries of a tile.
pub(super) const QUERIES: usize = 192;

/// Keys of a block, at least one row of the grid of relative positions.
const KEYS: usize = 256;

/// The softmax's largest score and the reciprocal of its sum, for each query.
pub(super) const STATISTICS: usize = 2;

/// The tensors of a problem as rows, keys and values as they are held.
pub(super) struct Views<'a, R = Rows<'a, f32>> {
    pub(super) extent: Extent,
    pub(super) query: Rows<'a, f32>,
    pub(super) key: R,
    pub(super) value: R,
    /// Height and width.
    pub(super) position: Option<[Rows<'a, f32>; 2]>,
    mask: Option<Rows<'a, u8>>,
    causal: bool,
    pub(super) scale: f32,
    /// Columns of the grid of relative positions.
    pub(super) columns: usize,
    /// Keys of a block.
    pub(super) block: usize,
}

impl<'a> Views<'a> {
    pub(super) fn new(problem: &'a Problem) -> Self {
        let extent = problem.extent();
        let [key, value] = [&problem.key, &problem.value].map(rows);
        let views = Self::of(extent, &problem.query, [key, value], &problem.options);
        let Some(position) = &problem.position else {
            return views;
        };
        let columns = position[1].layout().shape()[3];
        Self {
            position: Some(position.each_ref().map(rows)),
            columns,
            block: ((KEYS / columns).max(1) * columns).min(extent.keys),
            ..views
        }
    }

    /// Cuts keys without relative positions into blocks of about equal size, a little larger, so
    /// that the last one is not small.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn in_even_blocks(self) -> Self {
        /// Most keys of a block.
        const MOST: usize = KEYS + KEYS / 4;
        let keys = self.extent.keys;
        let block = match self.position {
            Some(_) => self.block,
            None => keys.div_ceil(keys.div_ceil(MOST)),
        };
        Self { block, ..self }
    }
}

impl<'a, R> Views<'a, R> {
    /// Keys and values without relative positions.
    pub(super) fn of(
        extent: Extent,
        query: &'a FlexTensor,
        [key, value]: [R; 2],
        options: &'a Options,
    ) -> Self {
        Self {
            extent,
            query: rows(query),
            key,
            value,
            position: None,
            mask: options.mask.as_ref().map(|mask| mask_rows(mask, extent)),
            causal: options.causal,
            scale: options.scale,
            columns: 1,
            block: KEYS.min(extent.keys),
        }
    }

    /// Keys that the queries of a tile may see, all of them when a query sees none.
    #[inline(always)]
    pub(super) fn seen(&self, queries: &Range<usize>) -> usize {
        let Extent {
            queries: all, keys, ..
        } = self.extent;
        if self.causal {
            (queries.end + keys).saturating_sub(all).min(keys)
        } else {
            keys
        }
    }

    /// Rows and columns of the grid of relative positions in a block of keys.
    #[inline(always)]
    pub(super) fn grid_rows(&self, keys: &Range<usize>) -> Range<usize> {
        keys.start / self.columns..keys.end / self.columns
    }

    /// Bias and mask of a query against a block of keys.
    #[inline(always)]
    pub(super) fn bias(&self, b: usize, h: usize, i: usize, keys: &Range<usize>) -> RowBias<'_> {
        let seen = self.seen(&(i..i + 1));
        RowBias {
            position: self.position.as_ref().map(|[height, width]| {
                (
                    &height.row(b, h, i)[self.grid_rows(keys)],
                    width.row(b, h, i),
                )
            }),
            mask: self.mask.as_ref().map(|mask| {
                let row = mask.row(b, h, i);
                if row.len() == 1 {
                    row
                } else {
                    &row[keys.clone()]
                }
            }),
            keys: keys.len(),
            visible: seen.clamp(keys.start, keys.end) - keys.start,
        }
    }
}

/// Distance of the rows of a tile of scores; off the powers of two, which would map a column to few
/// cache lines.
pub(super) fn score_stride(block: usize) -> usize {
    padded(block) + 16
}

/// Copies rows of a head, scaled, one after another.
pub(super) struct CopyScaled<'a> {
    pub(super) rows: &'a Rows<'a, f32>,
    /// Batch entry and head.
    pub(super) at: (usize, usize),
    pub(super) range: &'a Range<usize>,
    pub(super) scale: f32,
    pub(super) out: &'a mut [f32],
}

impl Kernel for CopyScaled<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (b, h) = self.at;
        let width = self.rows.row(b, h, self.range.start).len();
        for (i, out) in self.range.clone().zip(self.out.chunks_exact_mut(width)) {
            for (out, &x) in out.iter_mut().zip(self.rows.row(b, h, i)) {
                *out = x * self.scale;
            }
        }
    }
}
