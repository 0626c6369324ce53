//! Tiles of queries and keys as matrices of tensor cores.

/// Rows and columns of a matrix.
pub(super) const SIDE: usize = 16;
/// Units of a plane.
pub(super) const PLANE: usize = 32;
/// Planes of a cube.
pub(super) const PLANES: usize = 4;
/// Longest vector that a unit reads.
pub(super) const VECTOR: usize = 8;
/// Largest width of a head: its matrices of queries and sums stay in registers.
const WIDTH: usize = 128;
/// Numbers of keys of a tile, the first of which that fits is taken.
const KEYS: [usize; 2] = [64, 32];
/// Most bytes of shared memory, so that several cubes are at work at once.
const MOST_BYTES: usize = 64 * 1024;

/// Sizes of what a cube holds; widths are in vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MatrixTile {
    keys: usize,
    width: usize,
    value_width: usize,
    size: usize,
}

/// Rows of a tensor in shared memory, in vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Section {
    /// Place of the first row.
    pub(super) place: usize,
    pub(super) rows: usize,
    /// Width of the tensor's rows.
    pub(super) width: usize,
    /// Width with zeros behind them.
    pub(super) padded: usize,
    /// Distance of rows.
    pub(super) pitch: usize,
}

impl MatrixTile {
    /// The tile for heads of `width` and values of `value_width` components, in vectors of `size`;
    /// `None` if heads are too wide, or too large for `available` bytes of shared memory.
    pub(super) fn new(
        [width, value_width]: [usize; 2],
        size: usize,
        available: usize,
    ) -> Option<Self> {
        if width > WIDTH || value_width > WIDTH {
            return None;
        }
        let of = |keys| Self {
            keys,
            width: width / size,
            value_width: value_width / size,
            size,
        };
        let fits = |tile: &Self| tile.bytes() <= available.min(MOST_BYTES);
        KEYS.map(of).into_iter().find(fits)
    }

    /// Units of a cube.
    pub(super) fn units() -> usize {
        PLANES * PLANE
    }

    /// Queries of a cube.
    pub(super) fn queries() -> usize {
        PLANES * SIDE
    }

    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn value_width(&self) -> usize {
        self.value_width
    }

    /// Matrices side by side in a query or key.
    pub(super) fn parts(&self) -> usize {
        (self.width * self.size).div_ceil(SIDE)
    }

    /// Matrices side by side in a value.
    pub(super) fn value_parts(&self) -> usize {
        (self.value_width * self.size).div_ceil(SIDE)
    }

    /// Distance of keys in shared memory, in components: half a matrix more than they have, against
    /// bank conflicts.
    pub(super) fn key_pitch(&self) -> usize {
        self.parts() * SIDE + SIDE / 2
    }

    pub(super) fn value_pitch(&self) -> usize {
        self.value_parts() * SIDE + SIDE / 2
    }

    /// [`key_pitch`](Self::key_pitch) in vectors.
    pub(super) fn key_vectors(&self) -> usize {
        self.key_pitch() / self.size
    }

    pub(super) fn value_vectors(&self) -> usize {
        self.value_pitch() / self.size
    }

    /// Place of the values behind the keys, in vectors.
    pub(super) fn values_at(&self) -> usize {
        self.keys * self.key_vectors()
    }

    /// Vectors of keys and values, or of queries before them.
    pub(super) fn row_vectors(&self) -> usize {
        let tile = self.values_at() + self.keys * self.value_vectors();
        tile.max(Self::queries() * self.key_vectors())
    }

    /// Distance of rows of scores.
    pub(super) fn score_pitch(&self) -> usize {
        self.keys + 4
    }

    pub(super) fn scores(&self) -> usize {
        Self::queries() * self.score_pitch()
    }

    /// Distance of rows of weights.
    pub(super) fn weight_pitch(&self) -> usize {
        self.keys + SIDE / 2
    }

    pub(super) fn weights(&self) -> usize {
        Self::queries() * self.weight_pitch()
    }

    fn bytes(&self) -> usize {
        2 * (self.row_vectors() * self.size + self.weights()) + 4 * self.scores()
    }

    pub(super) fn load_queries(&self) -> Section {
        self.section(0, Self::queries(), self.width, self.key_vectors())
    }

    pub(super) fn load_keys(&self) -> Section {
        self.section(0, self.keys, self.width, self.key_vectors())
    }

    pub(super) fn load_values(&self) -> Section {
        let vectors = self.value_vectors();
        self.section(self.values_at(), self.keys, self.value_width, vectors)
    }

    fn section(&self, place: usize, rows: usize, width: usize, pitch: usize) -> Section {
        Section {
            place,
            rows,
            width,
            padded: pitch - SIDE / 2 / self.size,
            pitch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `wmma` reads matrices at multiples of 32 bytes, and rows at distances of multiples of 16.
    #[test]
    fn matrices_lie_where_tensor_cores_read_them() {
        for width in 1..=WIDTH {
            for value_width in [1, 24, 80, width, 128] {
                for size in [1, 2, 4, 8] {
                    if width % size != 0 || value_width % size != 0 {
                        continue;
                    }
                    let tile = MatrixTile::new([width, value_width], size, 48 << 10);
                    let tile = tile.expect("a tile");
                    assert!(tile.bytes() <= 48 << 10, "{tile:?}: {}", tile.bytes());
                    for pitch in [tile.key_pitch(), tile.value_pitch(), tile.weight_pitch()] {
                        assert_eq!(pitch * 2 % 16, 0, "{tile:?}");
                        assert_eq!(pitch * SIDE * 2 % 32, 0, "{tile:?}");
                    }
                    assert_eq!(tile.score_pitch() * 4 % 16, 0, "{tile:?}");
                    assert_eq!(tile.score_pitch() * SIDE * 4 % 32, 0, "{tile:?}");
                    assert_eq!(tile.values_at() * size * 2 % 32, 0, "{tile:?}");
                    // Zeros reach as far as matrices do.
                    assert_eq!(tile.load_keys().padded * size, tile.parts() * SIDE);
                    assert_eq!(tile.load_values().padded * size, tile.value_parts() * SIDE);
                }
            }
        }
    }

    #[test]
    fn wide_heads_have_no_tile() {
        assert_eq!(MatrixTile::new([129, 64], 1, 1 << 20), None);
        assert_eq!(MatrixTile::new([64, 256], 8, 1 << 20), None);
    }
}
