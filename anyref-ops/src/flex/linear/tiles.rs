//! Products of many rows: a panel of weights is packed into the nearest cache and multiplied with
//! all rows there, while the next one is fetched.

use core::ops::Range;

use rayon::prelude::*;

use super::super::activation::activate;
use super::super::product::{packed_len, panel_width};
use super::super::simd::{Kernel, Simd, dispatch};
use super::arithmetic::{Arithmetic, pack_block};
use super::blocks::{BLOCK, Blocks};
use super::ending::Ending;
use super::output::Output;
use super::scratch::Scratch;
use super::weight::Weight;

/// Maximum rows that share one packing of a panel: a slab of them fits a core's cache.
const ROWS: usize = 40 * BLOCK;
/// Words of inputs of a slab.
const DEPTH: usize = 256;
/// Maximum outputs of a tile, for which a slab is read from its cache.
const WIDTH: usize = 128;
/// From this many rows a thread has rows of its own instead of outputs of its own.
const OWN_ROWS: usize = 30 * BLOCK;

/// `out[r, n] = ending(Σ x[r, k] · weight[k, n])`; writes all of `out`.
pub(crate) fn product<H: Send + Sync + Copy, A: Arithmetic<H>>(
    x: &[f32],
    weight: Weight<'_, H>,
    ending: Ending<'_>,
    out: Output<'_>,
) {
    let threads = rayon::current_num_threads();
    let rows = x.len() / weight.depth;
    let problem = Problem::<H, A> {
        x,
        weight,
        ending,
        out: &out,
        words: weight.depth.div_ceil(A::INPUTS),
        arithmetic: core::marker::PhantomData,
    };
    if rows >= threads * OWN_ROWS {
        let chunks = rows.div_ceil(ROWS).next_multiple_of(threads);
        let chunk = rows.div_ceil(chunks).next_multiple_of(BLOCK);
        let chunks = (0..rows.div_ceil(chunk)).into_par_iter();
        chunks.for_each(|index| problem.rows_alone(index * chunk..rows.min((index + 1) * chunk)));
    } else {
        for first in (0..rows).step_by(ROWS) {
            problem.rows_together(first..rows.min(first + ROWS), threads);
        }
    }
}

/// Operands of a product.
struct Problem<'a, H, A> {
    x: &'a [f32],
    weight: Weight<'a, H>,
    ending: Ending<'a>,
    out: &'a Output<'a>,
    /// Words of a row.
    words: usize,
    arithmetic: core::marker::PhantomData<fn() -> A>,
}

impl<H: Send + Sync + Copy, A: Arithmetic<H>> Problem<'_, H, A> {
    /// Multiplies rows with all weights on this thread.
    fn rows_alone(&self, rows: Range<usize>) {
        let padded = rows.len().next_multiple_of(BLOCK);
        let mut packed = Scratch::new(padded * self.words);
        for (slab, out) in packed.chunks_mut(padded * DEPTH).enumerate() {
            self.pack_slab(&rows, slab * DEPTH, out);
        }
        for first in (0..self.weight.width).step_by(WIDTH) {
            let columns = first..self.weight.width.min(first + WIDTH);
            self.multiply(&packed, &rows, columns);
        }
    }

    /// Multiplies rows on all threads, each with weights of its own.
    fn rows_together(&self, rows: Range<usize>, threads: usize) {
        let width = self.weight.width;
        let padded = rows.len().next_multiple_of(BLOCK);
        let mut packed = Scratch::new(padded * self.words);
        packed
            .par_chunks_mut(padded * DEPTH)
            .enumerate()
            .for_each(|(slab, out)| self.pack_slab(&rows, slab * DEPTH, out));
        let packed = &packed[..];
        let tile = (width / (2 * threads) / 32 * 32).clamp(32, WIDTH);
        let columns = (0..width.div_ceil(tile)).into_par_iter();
        columns.for_each(|column| {
            let first = column * tile;
            self.multiply(packed, &rows, first..width.min(first + tile));
        });
    }

    /// Packs the inputs from word `first` on into register blocks: for each block of rows, the
    /// words of all its rows, interleaved.
    fn pack_slab(&self, rows: &Range<usize>, first: usize, out: &mut [A::Word]) {
        let depth = self.weight.depth;
        let length = DEPTH.min(self.words - first);
        let inputs = first * A::INPUTS..depth.min((first + length) * A::INPUTS);
        let x = &self.x[rows.start * depth..rows.end * depth];
        let blocks = x.chunks(BLOCK * depth);
        let mut space = [A::Word::default(); BLOCK * DEPTH];
        for (rows, out) in blocks.zip(out.chunks_exact_mut(BLOCK * length)) {
            let rows = rows.chunks_exact(depth).map(|row| &row[inputs.clone()]);
            pack_block::<H, A>(rows, &mut space, out);
        }
    }

    /// Weights of some words and outputs.
    fn part(&self, first: usize, columns: Range<usize>) -> Weight<'_, H> {
        let last = self.weight.depth.min((first + DEPTH) * A::INPUTS);
        self.weight.part(first * A::INPUTS..last, columns)
    }

    /// Multiplies packed rows with the weights of some outputs.
    fn multiply(&self, packed: &[A::Word], rows: &Range<usize>, columns: Range<usize>) {
        let count = rows.len();
        let padded = count.next_multiple_of(BLOCK);
        let panel = panel_width();
        let panels = columns.len().div_ceil(panel);
        let tile_length = DEPTH * panel;
        // Sums of each panel, its packed weights, and space to bring them into order.
        let mut sums = Scratch::<f32>::new(panels * count * panel);
        let mut space = Scratch::<A::Word>::new(packed_len(DEPTH, panel) + tile_length);
        let (weights, tile) = space.split_at_mut(packed_len(DEPTH, panel));
        let columns_of = |index: usize| {
            let first = columns.start + index * panel;
            first..columns.end.min(first + panel)
        };
        for start in (0..self.words).step_by(DEPTH) {
            let depth = DEPTH.min(self.words - start);
            let last = start + depth == self.words;
            let slab = &packed[start * padded..][..depth * padded];
            for (index, sums) in sums.chunks_exact_mut(count * panel).enumerate() {
                A::pack_tile(self.part(start, columns_of(index)), tile, weights);
                let next = match (index + 1 < panels, last) {
                    (true, _) => Some(self.part(start, columns_of(index + 1))),
                    (false, false) => Some(self.part(start + depth, columns_of(0))),
                    (false, true) => self.after(&columns, panel),
                };
                let blocks = count.div_ceil(BLOCK);
                let operands = slab.chunks_exact(BLOCK * depth);
                let operands = operands.zip(sums.chunks_mut(BLOCK * panel));
                for (block, (a, c)) in operands.enumerate() {
                    if let Some(next) = &next {
                        next.prefetch(block, blocks);
                    }
                    A::multiply(Blocks {
                        a,
                        panels: weights,
                        c,
                        stride: panel,
                        width: columns_of(index).len(),
                        accumulate: start > 0,
                    });
                }
                if last {
                    dispatch(Store {
                        out: self.out,
                        ending: self.ending,
                        rows: rows.clone(),
                        columns: columns_of(index),
                        sums,
                        panel,
                    });
                }
            }
        }
    }

    /// First weights of the tile that follows some columns.
    fn after(&self, columns: &Range<usize>, panel: usize) -> Option<Weight<'_, H>> {
        let width = self.weight.width;
        let next = columns.end..width.min(columns.end + panel);
        (!next.is_empty()).then(|| self.part(0, next))
    }
}

/// Finishes the sums of a panel and writes them out. The rows and columns are the task's alone.
struct Store<'a> {
    out: &'a Output<'a>,
    ending: Ending<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    /// `[rows, panel]`
    sums: &'a mut [f32],
    panel: usize,
}

impl Kernel for Store<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Ending {
            mut bias,
            activation,
        } = self.ending;
        if let Some(activation) = activation {
            if let Some(bias) = bias.take() {
                for sums in self.sums.chunks_exact_mut(self.panel) {
                    for (sum, &bias) in sums.iter_mut().zip(&bias[self.columns.clone()]) {
                        *sum += bias;
                    }
                }
            }
            // All at once, which makes long loops.
            activate::<S>(activation, self.sums);
        }
        for (row, sums) in self.rows.zip(self.sums.chunks_exact(self.panel)) {
            // SAFETY: no other task has these rows and columns.
            unsafe { self.out.store(row, self.columns.clone(), sums, bias) };
        }
    }
}
