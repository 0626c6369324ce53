//! Rows of a weight as floats.

use cubecl::prelude::*;

use super::decode::decode;
use crate::blocks::{BlockType, PIECE};

/// Writes the values of a piece.
#[cube]
fn widen_piece<F: Float, N: Size>(
    words: &Array<u32>,
    output: &mut Tensor<Vector<F, N>>,
    row: usize,
    index: usize,
    pieces: usize,
    row_words: usize,
    #[comptime] format: BlockType,
) {
    let size = output.vector_size();
    let vectors = comptime!(PIECE / size);
    let mut values = Array::<f32>::new(PIECE);
    let start = row * row_words;
    decode(words, start, index % pieces, pieces, &mut values, format);
    #[unroll]
    for vector in 0..vectors {
        let mut together = Vector::<f32, N>::zeroed();
        #[unroll]
        for i in 0..size {
            together[i] = values[comptime!(vector * size + i)];
        }
        output[index * vectors + vector] = Vector::cast_from(together);
    }
}

/// Widens rows from `first` on, one unit a piece; `output` is `[count, columns]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn widen_range<F: Float, N: Size>(
    words: &Array<u32>,
    output: &mut Tensor<Vector<F, N>>,
    first: usize,
    count: usize,
    pieces: usize,
    row_words: usize,
    #[comptime] format: BlockType,
    #[define(F)] _dtype: StorageType,
) {
    let index = ABSOLUTE_POS;
    if index < count * pieces {
        let row = first + index / pieces;
        widen_piece(words, output, row, index, pieces, row_words, format);
    }
}

/// Widens the rows of the indices, one unit a piece; `output` is `[indices, columns]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn widen_rows<F: Float, N: Size, I: Int>(
    words: &Array<u32>,
    indices: &Array<I>,
    output: &mut Tensor<Vector<F, N>>,
    rows: usize,
    pieces: usize,
    row_words: usize,
    #[comptime] format: BlockType,
    #[define(F, I)] _dtypes: [StorageType; 2],
) {
    let index = ABSOLUTE_POS;
    if index < indices.len() * pieces {
        let row = u32::cast_from(indices[index / pieces]) as usize;
        let row = min(row, rows - 1);
        widen_piece(words, output, row, index, pieces, row_words, format);
    }
}
