//! Tiles of both widths in a cube's memory.

use crate::cube::many_queries::tile::{MINE, Tile};

/// Most bytes of shared memory.
const MOST_BYTES: usize = 48 * 1024;

/// Sizes of what a cube holds: rows of its own, as wide as queries and as wide as values, and rows
/// of either width that pass by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tiles {
    /// Rows of the width of queries and keys.
    pub(super) scored: Tile,
    /// Rows of the width of values and outputs.
    pub(super) valued: Tile,
}

impl Tiles {
    /// The tiles of most rows that fit into the shared memory of a device with `available` bytes of
    /// it, for vectors of `size` components.
    pub(super) fn new([width, value_width]: [usize; 2], size: usize, available: usize) -> Self {
        let of = |groups| Self {
            scored: Tile::of([width; 2], size, groups),
            valued: Tile::of([value_width; 2], size, groups),
        };
        let fits = |tiles: &Self| tiles.bytes(size) <= available.min(MOST_BYTES);
        [8, 4, 2].map(of).into_iter().find(fits).unwrap_or(of(1))
    }

    /// Bytes of shared memory, with weights of both kinds.
    fn bytes(&self, size: usize) -> usize {
        let states = self.scored.state_vectors() + self.valued.state_vectors();
        let weights = 2 * self.scored.weights() + self.scored.tops();
        4 * ((states + self.row_vectors()) * size + weights * MINE)
    }

    /// Vectors of a tile of rows that pass by.
    pub(super) fn row_vectors(&self) -> usize {
        self.scored.row_vectors().max(self.valued.row_vectors())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_into_the_memory_of_every_device() {
        for width in 1..=256 {
            for value_width in [1, 24, 80, width, 256] {
                for size in [1, 2, 4] {
                    if width % size == 0 && value_width % size == 0 {
                        for available in [32 * 1024, 48 * 1024, 228 * 1024] {
                            let tiles = Tiles::new([width, value_width], size, available);
                            let bytes = tiles.bytes(size);
                            assert!(
                                bytes <= available.min(MOST_BYTES),
                                "{tiles:?}: {bytes} > {available}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn usual_heads_have_tiles_of_16_or_32_rows() {
        for (width, rows) in [(64, 32), (80, 32), (128, 16), (256, 16)] {
            let tiles = Tiles::new([width; 2], 4, 48 * 1024);
            assert_eq!(tiles.scored.queries(), rows, "{width}");
        }
    }
}
