//! Products of many rows: tiles of the weights are widened to f32 and multiplied while they are in the cache.

use rayon::prelude::*;

use super::super::pack::{pack_rows, pack_transposed};
use super::super::product::{Matrix, Product, packed_len, padded, product as multiply};
use super::output::Output;
use super::stored::{Stored, widen};
use super::weight::{Order, Weight};

/// Rows of a register block of the widest instruction set; the narrower ones have fewer that divide it.
const BLOCK: usize = 12;
/// Rows for which a tile is widened once.
const ROWS: usize = 40 * BLOCK;
/// Inputs of a tile.
const DEPTH: usize = 256;
/// Outputs of a tile, at most.
const WIDTH: usize = 128;

/// `out[r, n] = Σ x[r, k] · weight[k, n] + bias[n]`
pub(crate) fn product<H: Stored>(
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
    let mut packed = vec![0.0; rows.min(ROWS).next_multiple_of(BLOCK) * depth];
    for (index, x) in x.chunks(ROWS * depth).enumerate() {
        let rows = x.len() / depth;
        let slabs = rows.next_multiple_of(BLOCK) * DEPTH;
        packed
            .par_chunks_mut(slabs)
            .enumerate()
            .for_each(|(slab, out)| pack_slab(x, depth, slab * DEPTH, out));
        let columns = (0..width.div_ceil(tile)).into_par_iter();
        columns.for_each_init(
            || Scratch::new(rows, tile),
            |scratch, column| {
                let first = column * tile;
                let width = tile.min(width - first);
                let sums = scratch.sums(&packed[..], rows, weight, first, width);
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

/// Puts the inputs from `first` on into register blocks: for each block of rows, one input of all its rows
/// after another.
fn pack_slab(x: &[f32], depth: usize, first: usize, out: &mut [f32]) {
    let length = DEPTH.min(depth - first.min(depth));
    if length == 0 {
        return;
    }
    let blocks = x.chunks(BLOCK * depth);
    for (rows, out) in blocks.zip(out.chunks_exact_mut(BLOCK * length)) {
        for (r, row) in rows.chunks_exact(depth).enumerate() {
            let row = &row[first..][..length];
            for (out, &x) in out[r..].iter_mut().step_by(BLOCK).zip(row) {
                *out = x;
            }
        }
    }
}

/// What a thread computes in.
struct Scratch {
    /// A tile, widened, in the order of the weight.
    wide: Vec<f32>,
    /// The tile in panels.
    panels: Vec<f32>,
    /// `[rows, padded(tile)]`
    sums: Vec<f32>,
    stride: usize,
}

impl Scratch {
    fn new(rows: usize, tile: usize) -> Self {
        Self {
            wide: vec![0.0; tile * DEPTH],
            panels: vec![0.0; packed_len(DEPTH, tile)],
            sums: vec![0.0; rows * padded(tile)],
            stride: padded(tile),
        }
    }

    /// The products of all packed rows with the columns `first..first + width`.
    fn sums<H: Stored>(
        &mut self,
        packed: &[f32],
        rows: usize,
        weight: Weight<'_, H>,
        first: usize,
        width: usize,
    ) -> &[f32] {
        let slab = rows.next_multiple_of(BLOCK);
        for start in (0..weight.depth).step_by(DEPTH) {
            let depth = DEPTH.min(weight.depth - start);
            self.pack(weight, [start, depth], [first, width]);
            let blocks = packed[start * slab..].chunks_exact(BLOCK * depth);
            let sums = self.sums.chunks_mut(BLOCK * self.stride);
            for (a, c) in blocks.zip(sums) {
                multiply(Product {
                    a: Matrix {
                        values: a,
                        row: 1,
                        column: BLOCK,
                    },
                    b: &self.panels,
                    rows: c.len() / self.stride,
                    c,
                    stride: self.stride,
                    depth,
                    width,
                    accumulate: start > 0,
                });
            }
        }
        &self.sums
    }

    /// Widens a tile and puts it into panels.
    fn pack<H: Stored>(
        &mut self,
        weight: Weight<'_, H>,
        [start, depth]: [usize; 2],
        [first, width]: [usize; 2],
    ) {
        let (lines, line, from) = match weight.order {
            Order::Inputs => (first..first + width, depth, start),
            Order::Outputs => (start..start + depth, width, first),
        };
        for (index, wide) in lines.zip(self.wide.chunks_exact_mut(line)) {
            widen(weight.line(index, from, line), wide);
        }
        let panels = &mut self.panels;
        match weight.order {
            Order::Inputs => pack_transposed(&self.wide, line, depth, width, panels),
            Order::Outputs => pack_rows(&self.wide, line, depth, width, panels),
        }
    }
}
