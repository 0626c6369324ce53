//! Products of many rows: tiles of the weights are packed into panels and multiplied while they are
//! in the cache.

use rayon::prelude::*;

use super::super::product::{packed_len, padded};
use super::arithmetic::Arithmetic;
use super::blocks::{BLOCK, Blocks};
use super::output::Output;
use super::weight::Weight;

/// Rows that share one packing of a tile.
const ROWS: usize = 40 * BLOCK;
/// Words of inputs of a tile.
const DEPTH: usize = 256;
/// Maximum outputs of a tile.
const WIDTH: usize = 128;

/// `out[r, n] = Σ x[r, k] · weight[k, n] + bias[n]`
pub(crate) fn product<H: Send + Sync + Copy, A: Arithmetic<H>>(
    x: &[f32],
    weight: Weight<'_, H>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let Weight { depth, width, .. } = weight;
    let tile = (width / (2 * rayon::current_num_threads()) / 32 * 32).clamp(32, WIDTH);
    let rows = x.len() / depth;
    assert_eq!(rows, out.len() / width);
    let out = Output::new(out, width);
    let words = depth.div_ceil(A::INPUTS);
    let blank = A::Word::default();
    let mut packed = vec![blank; rows.min(ROWS).next_multiple_of(BLOCK) * words];
    for (index, x) in x.chunks(ROWS * depth).enumerate() {
        let rows = x.len() / depth;
        let slabs = rows.next_multiple_of(BLOCK) * DEPTH;
        packed
            .par_chunks_mut(slabs)
            .enumerate()
            .for_each(|(slab, out)| pack_slab::<H, A>(x, depth, slab * DEPTH, out));
        let columns = (0..width.div_ceil(tile)).into_par_iter();
        columns.for_each_init(
            || Scratch::<A::Word>::new(rows, tile),
            |scratch, column| {
                let first = column * tile;
                let width = tile.min(width - first);
                let sums = scratch.sums::<H, A>(&packed[..], rows, weight, first, width);
                for (row, sums) in sums.chunks_exact(padded(tile)).enumerate() {
                    // SAFETY: these columns are this task's.
                    unsafe {
                        out.store(index * ROWS + row, first..first + width, sums, bias);
                    }
                }
            },
        );
    }
}

/// Packs the inputs from word `first` on into register blocks: for each block of rows, the words of
/// all its rows, interleaved.
fn pack_slab<H, A: Arithmetic<H>>(x: &[f32], depth: usize, first: usize, out: &mut [A::Word]) {
    let words = depth.div_ceil(A::INPUTS);
    let length = DEPTH.min(words - first.min(words));
    if length == 0 {
        return;
    }
    let inputs = first * A::INPUTS..depth.min((first + length) * A::INPUTS);
    let blocks = x.chunks(BLOCK * depth);
    for (rows, out) in blocks.zip(out.chunks_exact_mut(BLOCK * length)) {
        for (r, row) in rows.chunks_exact(depth).enumerate() {
            A::pack_row(&row[inputs.clone()], &mut out[r..]);
        }
    }
}

/// Scratch space of a thread.
struct Scratch<W> {
    /// Tile in the order of the weight.
    tile: Vec<W>,
    /// Tile in panels.
    panels: Vec<W>,
    /// `[rows, padded(tile)]`
    sums: Vec<f32>,
    stride: usize,
}

impl<W: Copy + Default> Scratch<W> {
    fn new(rows: usize, tile: usize) -> Self {
        Self {
            tile: vec![W::default(); tile * DEPTH],
            panels: vec![W::default(); packed_len(DEPTH, tile)],
            sums: vec![0.0; rows * padded(tile)],
            stride: padded(tile),
        }
    }

    /// Computes the products of all packed rows with the columns `first..first + width`.
    fn sums<H: Copy, A: Arithmetic<H, Word = W>>(
        &mut self,
        packed: &[W],
        rows: usize,
        weight: Weight<'_, H>,
        first: usize,
        width: usize,
    ) -> &[f32] {
        let slab = rows.next_multiple_of(BLOCK);
        let words = weight.depth.div_ceil(A::INPUTS);
        for start in (0..words).step_by(DEPTH) {
            let depth = DEPTH.min(words - start);
            let part = weight.part(
                start * A::INPUTS..weight.depth.min((start + depth) * A::INPUTS),
                first..first + width,
            );
            A::pack_tile(part, &mut self.tile, &mut self.panels);
            let blocks = packed[start * slab..].chunks_exact(BLOCK * depth);
            let sums = self.sums.chunks_mut(BLOCK * self.stride);
            for (a, c) in blocks.zip(sums) {
                A::multiply(Blocks {
                    a,
                    panels: &self.panels,
                    c,
                    stride: self.stride,
                    width,
                    accumulate: start > 0,
                });
            }
        }
        &self.sums
    }
}
