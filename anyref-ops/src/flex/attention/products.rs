//! Products of a tile of queries with blocks of keys and values.

use core::ops::Range;

/// Sizes of a product of a tile.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Index of the block.
    pub(super) index: usize,
    /// Queries of the tile.
    pub(super) rows: usize,
    /// Keys of the block.
    pub(super) keys: usize,
    /// Values of a query, or of a value.
    pub(super) width: usize,
    /// Distance of the rows of scores.
    pub(super) stride: usize,
    /// Adds to the output instead of overwriting it.
    pub(super) accumulate: bool,
}

/// Products of a tile, in the order of the methods.
pub(super) trait Products {
    /// Takes the scaled queries of a tile, `[rows, width]`.
    fn take(&mut self, query: &[f32], width: usize);

    /// Makes the block of an index ready, which holds some keys.
    fn prepare(&mut self, index: usize, keys: &Range<usize>);

    /// Multiplies queries and keys to scores, `[rows, keys]` with rows `stride` apart.
    fn scores(&mut self, sizes: Sizes, query: &[f32], scores: &mut [f32]);

    /// Sums values by the weights that the scores have become, `[rows, width]` with padded rows.
    fn mixed(&mut self, sizes: Sizes, scores: &[f32], out: &mut [f32]);
}
