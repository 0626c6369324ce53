//! Tiles of queries and keys in a cube's memory.

use cubecl::prelude::*;

/// Keys of a tile.
pub(super) const KEYS: usize = 32;
/// Units that share the keys of a tile, and the components of its values.
pub(super) const LANES: usize = 16;
/// Queries of a unit, whose weights are one vector.
pub(super) const MINE: usize = 4;
/// Keys of a unit in each tile.
pub(super) const EACH: usize = KEYS / LANES;
/// Distances of neighbouring groups in shared memory, which avoid bank conflicts.
pub(super) const WEIGHT_PITCH: usize = KEYS + 1;
pub(super) const TOP_PITCH: usize = LANES + 1;
/// Longest vector that a unit reads.
pub(super) const VECTOR: usize = 4;
/// Components of keys and values in shared memory at a time.
const COMPONENTS: usize = 64;
/// Most bytes of shared memory.
const MOST_BYTES: usize = 32 * 1024;

/// Weights or scores of a unit's queries for one key.
pub(super) type Mine = Vector<f32, Const<MINE>>;

/// Sizes of what a cube holds; widths are in vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    /// Groups of [`LANES`] units, with [`MINE`] queries each.
    groups: usize,
    /// Width of queries and keys.
    width: usize,
    /// Width of values.
    value_width: usize,
    /// Components of a vector.
    size: usize,
}

/// Rows of a tensor that are brought to shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Load {
    /// Number of rows.
    rows: usize,
    /// Vectors of each row that are brought.
    step: usize,
    /// Vectors of a whole row of the tensor.
    width: usize,
    /// Distance of rows in shared memory.
    pitch: usize,
    units: usize,
}

impl Tile {
    /// The tile of most queries that fits into the shared memory of a device with `available` bytes
    /// of it, for vectors of `size` components.
    pub(super) fn new([width, value_width]: [usize; 2], size: usize, available: usize) -> Self {
        let of = |groups| Self::of([width, value_width], size, groups);
        let fits = |tile: &Self| tile.bytes() <= available.min(MOST_BYTES);
        [8, 4, 2].map(of).into_iter().find(fits).unwrap_or(of(1))
    }

    /// The tile of some groups of units.
    pub(super) fn of([width, value_width]: [usize; 2], size: usize, groups: usize) -> Self {
        Self {
            groups,
            width: width / size,
            value_width: value_width / size,
            size,
        }
    }

    pub(super) fn units(&self) -> usize {
        self.groups * LANES
    }

    pub(super) fn queries(&self) -> usize {
        self.groups * MINE
    }

    fn bytes(&self) -> usize {
        let vectors = self.state_vectors() + self.row_vectors();
        4 * (vectors * self.size + (self.weights() + self.tops()) * MINE)
    }

    /// Distance of queries in shared memory: odd, against bank conflicts.
    pub(super) fn state_pitch(&self) -> usize {
        self.width | 1
    }

    /// Vectors of all queries.
    pub(super) fn state_vectors(&self) -> usize {
        self.queries() * self.state_pitch()
    }

    /// Parts in which the components of keys are read.
    pub(super) fn parts(&self) -> usize {
        self.width.div_ceil(COMPONENTS / self.size)
    }

    /// Vectors of a part of a key.
    pub(super) fn step(&self) -> usize {
        self.width.div_ceil(self.parts())
    }

    /// Vectors of part `part` of a key.
    pub(super) fn step_of(&self, part: usize) -> usize {
        self.step().min(self.width - part * self.step())
    }

    pub(super) fn key_pitch(&self) -> usize {
        self.step() | 1
    }

    /// Vectors of a value that each unit of a group adds up.
    pub(super) fn slots(&self) -> usize {
        self.value_width.div_ceil(LANES)
    }

    /// The [`slots`](Self::slots) of a part of the values.
    pub(super) fn part_slots(&self) -> usize {
        self.slots().min(COMPONENTS / self.size / LANES)
    }

    /// Parts in which the components of values are read.
    pub(super) fn value_parts(&self) -> usize {
        self.slots().div_ceil(self.part_slots())
    }

    /// Vectors of a part of a value, and their distance in shared memory.
    pub(super) fn value_step(&self) -> usize {
        self.part_slots() * LANES
    }

    /// Vectors of a tile's keys or values.
    pub(super) fn row_vectors(&self) -> usize {
        KEYS * self.key_pitch().max(self.value_step())
    }

    pub(super) fn weights(&self) -> usize {
        self.groups * WEIGHT_PITCH
    }

    pub(super) fn tops(&self) -> usize {
        self.groups * TOP_PITCH
    }

    /// Width of values.
    pub(super) fn value_width(&self) -> usize {
        self.value_width
    }

    /// All components of the queries.
    pub(super) fn load_states(&self) -> Load {
        Load {
            rows: self.queries(),
            step: self.width,
            width: self.width,
            pitch: self.state_pitch(),
            units: self.units(),
        }
    }

    /// A part of the keys.
    pub(super) fn load_keys(&self) -> Load {
        Load {
            rows: KEYS,
            step: self.step(),
            width: self.width,
            pitch: self.key_pitch(),
            units: self.units(),
        }
    }

    /// A part of the values.
    pub(super) fn load_values(&self) -> Load {
        Load {
            rows: KEYS,
            step: self.value_step(),
            width: self.value_width,
            pitch: self.value_step(),
            units: self.units(),
        }
    }
}

/// Brings vectors of rows, times a factor, to shared memory. Rows are those from `first`, or `last`
/// in place of later ones; `start` is where row 0 begins, `stride` the distance of rows, and
/// `offset` the first vector of each, all in vectors.
#[cube]
pub(super) fn load<E: Float, N: Size>(
    source: &Tensor<Vector<E, N>>,
    held: &mut SharedMemory<Vector<f32, N>>,
    start: usize,
    stride: usize,
    first: usize,
    last: usize,
    offset: usize,
    factor: f32,
    #[comptime] shape: Load,
) {
    let count = comptime!(shape.rows * shape.step);
    #[unroll]
    for turn in 0..comptime!(count.div_ceil(shape.units)) {
        let place = UNIT_POS as usize + comptime!(turn * shape.units);
        let row = place / comptime!(shape.step);
        let column = place % comptime!(shape.step);
        if place < count && offset + column < comptime!(shape.width) {
            let from = start + min(first + row, last) * stride + offset + column;
            let values = Vector::<f32, N>::cast_from(source[from]);
            held[row * comptime!(shape.pitch) + column] = values * Vector::new(factor);
        }
    }
}

/// Adds the products of a unit's queries and keys over a part of their components, which begins at
/// vector `first` and has `count`. Scores of a key lie beside one another.
#[cube]
pub(super) fn add_products<N: Size>(
    states: &SharedMemory<Vector<f32, N>>,
    rows: &SharedMemory<Vector<f32, N>>,
    scores: &mut Array<f32>,
    first: usize,
    count: usize,
    #[comptime] tile: Tile,
) {
    let unit = UNIT_POS as usize;
    let (group, lane) = (unit / LANES, unit % LANES);
    let state = group * comptime!(MINE * tile.state_pitch()) + first;
    let row = lane * comptime!(tile.key_pitch());
    for vector in 0..count {
        #[unroll]
        for query in 0..MINE {
            let states = states[state + comptime!(query * tile.state_pitch()) + vector];
            #[unroll]
            for key in 0..EACH {
                let keys = rows[row + comptime!(key * LANES * tile.key_pitch()) + vector];
                #[unroll]
                for i in 0..comptime!(tile.size) {
                    let place = comptime!(key * MINE + query);
                    scores[place] = scores[place] + states[i] * keys[i];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(widths: [usize; 2], size: usize, available: usize) -> Tile {
        Tile::new(widths, size, available)
    }

    #[test]
    fn tiles_fit_into_the_memory_of_every_device() {
        for width in 1..=256 {
            for value_width in [1, 24, 80, width, 256] {
                for size in [1, 2, 4] {
                    if width % size == 0 && value_width % size == 0 {
                        for available in [16 * 1024, 32 * 1024, 228 * 1024] {
                            let tile = tile([width, value_width], size, available);
                            let bytes = tile.bytes();
                            assert!(
                                bytes <= available.min(MOST_BYTES),
                                "{tile:?}: {bytes} > {available}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn usual_heads_have_tiles_of_32_queries() {
        for (width, bytes) in [(64, 23_808), (80, 25_344), (128, 32_000)] {
            let tile = tile([width, width], 4, 48 * 1024);
            assert_eq!(
                (tile.units(), tile.queries(), tile.bytes()),
                (128, 32, bytes)
            );
        }
        assert_eq!(tile([256, 256], 4, 48 * 1024).queries(), 16);
    }
}
