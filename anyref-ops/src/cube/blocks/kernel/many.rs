//! Products of many rows, by tiles.
//!
//! A cube computes [`ROWS`] rows of [`OUTPUTS`] outputs. For each [`DEPTH`] inputs it decodes the
//! weights and widens the rows into shared memory, whose pitches are odd to avoid bank conflicts;
//! every unit adds the products of [`MINE`] rows and [`MINE`] outputs in registers.

use cubecl::prelude::*;

use super::decode::decode;
use crate::blocks::{BlockType, PIECE};

/// Units of a cube.
pub(super) const UNITS: usize = ROWS * OUTPUTS / (MINE * MINE);
/// Rows of a tile.
pub(super) const ROWS: usize = 32;
/// Outputs of a tile.
pub(super) const OUTPUTS: usize = 64;
/// Inputs of a step.
const DEPTH: usize = 32;
/// Rows and outputs of a unit.
const MINE: usize = 4;
/// Pieces of a step.
const PIECES: usize = DEPTH / PIECE;
/// Units along the rows and along the outputs.
const DOWN: usize = ROWS / MINE;
const ALONG: usize = OUTPUTS / MINE;
/// Distances of neighbouring inputs in shared memory.
const ROW_PITCH: usize = ROWS + 1;
const OUTPUT_PITCH: usize = OUTPUTS + 1;

/// Computes `x · weightᵀ`. Cubes are tiles of outputs and of rows.
///
/// # Shapes
/// - x: `[rows, columns]`, `columns` a multiple of [`DEPTH`]
/// - words: `[outputs, words of a row]`
/// - output: `[rows, outputs]`
#[cube(launch, address_type = "dynamic")]
pub(super) fn many_rows<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    words: &Array<u32>,
    output: &mut Array<F>,
    rows: usize,
    outputs: usize,
    pieces: usize,
    row_words: usize,
    #[comptime] format: BlockType,
    #[define(F)] _dtype: StorageType,
) {
    let size = x.vector_size();
    let vectors = comptime!(PIECE / size);
    let mut left = SharedMemory::<f32>::new(comptime!(DEPTH * ROW_PITCH));
    let mut right = SharedMemory::<f32>::new(comptime!(DEPTH * OUTPUT_PITCH));
    let unit = UNIT_POS as usize;
    let (down, along) = (unit / ALONG, unit % ALONG);
    let first_output = CUBE_POS_X as usize * OUTPUTS;
    let first_row = CUBE_POS_Y as usize * ROWS;

    // Piece and place in a tile that this unit brings.
    let (piece, place) = (unit % PIECES, unit / PIECES);
    let row = min(first_row + place, rows - 1);
    let mut values = Array::<f32>::new(PIECE);
    let mut sums = Array::<f32>::new(comptime!(MINE * MINE));
    #[unroll]
    for index in 0..comptime!(MINE * MINE) {
        sums[index] = f32::new(0.0);
    }
    let mut first = 0usize;
    while first < pieces {
        let start = (row * pieces + first + piece) * vectors;
        #[unroll]
        for vector in 0..vectors {
            let inputs = Vector::<f32, N>::cast_from(x[start + vector]);
            #[unroll]
            for i in 0..size {
                let input = piece * PIECE + comptime!(vector * size + i);
                left[input * ROW_PITCH + place] = inputs[i];
            }
        }
        #[unroll]
        for part in 0..comptime!(OUTPUTS * PIECES / UNITS) {
            let place = place + part * comptime!(UNITS / PIECES);
            let column = min(first_output + place, outputs - 1);
            decode(
                words,
                column * row_words,
                first + piece,
                pieces,
                &mut values,
                format,
            );
            #[unroll]
            for i in 0..PIECE {
                right[(piece * PIECE + i) * OUTPUT_PITCH + place] = values[i];
            }
        }
        sync_cube();
        for input in 0..DEPTH {
            let mut inputs = Array::<f32>::new(MINE);
            let mut weights = Array::<f32>::new(MINE);
            #[unroll]
            for index in 0..MINE {
                inputs[index] = left[input * ROW_PITCH + down + index * DOWN];
                weights[index] = right[input * OUTPUT_PITCH + along + index * ALONG];
            }
            #[unroll]
            for i in 0..MINE {
                #[unroll]
                for j in 0..MINE {
                    let place = comptime!(i * MINE + j);
                    sums[place] = sums[place] + inputs[i] * weights[j];
                }
            }
        }
        sync_cube();
        first += PIECES;
    }
    #[unroll]
    for i in 0..MINE {
        let row = first_row + down + i * DOWN;
        #[unroll]
        for j in 0..MINE {
            let column = first_output + along + j * ALONG;
            if row < rows && column < outputs {
                output[row * outputs + column] = F::cast_from(sums[comptime!(i * MINE + j)]);
            }
        }
    }
}
