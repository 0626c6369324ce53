//! Products of a few rows.

use cubecl::prelude::*;

use crate::cube::launching::cube_index;

use super::decode::decode;
use crate::blocks::{BlockType, PIECE};
use crate::cube::reduce::team_sums;

/// Units of a cube.
pub(super) const UNITS: usize = 128;
/// Units that read the words of an output together.
pub(super) const LANES: usize = 32;
/// Pieces whose loads a unit issues at once.
const TOGETHER: usize = 4;

/// Adds the products of a piece and each row.
#[cube]
fn add_piece<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    words: &Array<u32>,
    sums: &mut Array<f32>,
    start: usize,
    piece: usize,
    pieces: usize,
    first_row: usize,
    rows: usize,
    #[comptime] at_once: usize,
    #[comptime] format: BlockType,
) {
    let size = x.vector_size();
    let vectors = comptime!(PIECE / size);
    let mut values = Array::<f32>::new(PIECE);
    decode(words, start, piece, pieces, &mut values, format);
    #[unroll]
    for index in 0..at_once {
        let row = min(first_row + index, rows - 1);
        let place = (row * pieces + piece) * vectors;
        let mut sum = sums[index];
        #[unroll]
        for vector in 0..vectors {
            let inputs = Vector::<f32, N>::cast_from(x[place + vector]);
            #[unroll]
            for i in 0..size {
                sum += inputs[i] * values[comptime!(vector * size + i)];
            }
        }
        sums[index] = sum;
    }
}

/// Computes `x · weightᵀ`. Cubes are groups of outputs, over two axes, and groups of `at_once`
/// rows.
///
/// # Shapes
/// - x: `[rows, columns]`
/// - words: `[outputs, words of a row]`
/// - output: `[rows, outputs]`
#[cube(launch, address_type = "dynamic")]
pub(super) fn few_rows<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    words: &Array<u32>,
    output: &mut Array<F>,
    rows: usize,
    outputs: usize,
    pieces: usize,
    row_words: usize,
    #[comptime] at_once: usize,
    #[comptime] format: BlockType,
    #[define(F)] _dtype: StorageType,
) {
    let mut partial = SharedMemory::<f32>::new(comptime!(UNITS * at_once));
    let unit = UNIT_POS as usize;
    let lane = unit % LANES;
    let cube = cube_index();
    let column = cube * comptime!(UNITS / LANES) + unit / LANES;
    let first_row = CUBE_POS_Z as usize * at_once;

    let mut sums = Array::<f32>::new(at_once);
    #[unroll]
    for index in 0..at_once {
        sums[index] = f32::new(0.0);
    }
    if column < outputs {
        let start = column * row_words;
        let mut piece = lane;
        // Several loads of words are in flight at once.
        while piece + comptime!((TOGETHER - 1) * LANES) < pieces {
            #[unroll]
            for more in 0..TOGETHER {
                let piece = piece + more * LANES;
                add_piece(
                    x, words, &mut sums, start, piece, pieces, first_row, rows, at_once, format,
                );
            }
            piece += comptime!(TOGETHER * LANES);
        }
        while piece < pieces {
            add_piece(
                x, words, &mut sums, start, piece, pieces, first_row, rows, at_once, format,
            );
            piece += LANES;
        }
    }
    team_sums(&mut sums, &mut partial, at_once, UNITS, LANES);
    if lane == 0 && column < outputs {
        #[unroll]
        for index in 0..at_once {
            let row = first_row + index;
            if row < rows {
                output[row * outputs + column] = F::cast_from(sums[index]);
            }
        }
    }
}
