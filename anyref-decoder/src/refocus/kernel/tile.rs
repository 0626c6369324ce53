//! Dot products of many rows at once.
//!
//! The units of a cube form teams of `lanes`. A team reads a row together, so that loads are
//! coalesced, and writes its lanes' partial sums to shared memory; then every unit adds up those of
//! one row. A tile has as many rows as the cube has units.

use cubecl::prelude::*;

/// Division of a cube; units and lanes are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    /// Units in a cube.
    pub(super) units: usize,
    /// Units that read a row together.
    pub(super) lanes: usize,
    /// Vectors of a row.
    pub(super) vectors: usize,
}

impl Tile {
    /// Default number of units in a cube.
    const UNITS: usize = 128;
    /// Maximum lanes: sixteen lanes of sixteen bytes read two cache lines; more would exceed the
    /// shared memory of WebGPU.
    const LANES: usize = 16;
    /// Maximum loads of a unit that are unrolled, so that all of them are in flight at once.
    const LOADS: usize = 32;

    /// Division for rows of `vectors` vectors.
    pub(super) fn new(vectors: usize) -> Self {
        let lanes = Self::LANES.min(1 << vectors.max(1).ilog2());
        Self {
            units: Self::UNITS,
            lanes,
            vectors,
        }
    }

    /// Reduces the lanes until there are at least `cubes` cubes, one for each object and `lanes`
    /// columns: few lanes read less than a cache line, few cubes leave a large GPU idle.
    pub(super) fn spread(mut self, count: usize, cubes: usize) -> Self {
        self.lanes = self.lanes.min(8);
        while self.lanes > 2 && self.vectors.div_ceil(self.lanes) * count < cubes {
            self.lanes /= 2;
        }
        self
    }

    /// Vectors of a row that a lane reads.
    pub(super) fn reads(self) -> usize {
        self.vectors.div_ceil(self.lanes)
    }

    /// Returns whether every lane reads the same number of vectors.
    pub(super) fn is_even(self) -> bool {
        self.vectors.is_multiple_of(self.lanes)
    }

    /// Returns whether the loads of a tile are few enough to be unrolled.
    pub(super) fn is_short(self) -> bool {
        self.lanes * self.reads() <= Self::LOADS
    }

    /// Numbers in the shared memory of [`dot_rows`].
    pub(super) fn partial(self) -> usize {
        self.units * self.pitch()
    }

    /// Stride of the rows in shared memory; odd, to avoid bank conflicts.
    pub(super) fn pitch(self) -> usize {
        self.lanes + 1
    }

    /// Rows that are read at the same time.
    pub(super) fn teams(self) -> usize {
        self.units / self.lanes
    }
}

/// Layout of rows, in vectors. Row `(head, place)` is the product of the left row of `head` and the
/// right row of `head / group` and `place`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Rows {
    /// Left row of head 0.
    pub(super) left: usize,
    /// Stride between left heads.
    pub(super) left_stride: usize,
    /// Right row of head 0 and place 0.
    pub(super) right: usize,
    /// Stride between right heads.
    pub(super) head_stride: usize,
    /// Stride between places.
    pub(super) place_stride: usize,
    /// Left heads that share a right one.
    pub(super) group: usize,
    /// Left heads.
    pub(super) heads: usize,
    /// End of the places, exclusive.
    pub(super) end: usize,
    /// Length of a row.
    pub(super) vectors: usize,
}

/// Layout of an object's queries and of the keys that it attends to.
#[cube]
pub(super) fn attention_rows<Q: Float, K: Float, N: Size>(
    query: &Tensor<Vector<Q, N>>,
    key: &Tensor<Vector<K, N>>,
    object: usize,
    row: usize,
    end: usize,
) -> Rows {
    let size = key.vector_size();
    let heads = query.shape(1);
    let vectors = query.shape(2) / size;
    Rows {
        left: object * heads * vectors,
        left_stride: vectors,
        right: row * key.stride(0) / size,
        head_stride: key.stride(1) / size,
        place_stride: key.stride(2) / size,
        group: heads / key.shape(1),
        heads,
        end,
        vectors,
    }
}

/// Start of the right row of a head and place.
#[cube]
pub(super) fn right_row(rows: &Rows, head: usize, place: usize) -> usize {
    rows.right + head / rows.group * rows.head_stride + place * rows.place_stride
}

/// Computes the product of one row in each unit: of place `first_place + unit / abreast` and head
/// `first_head + unit % abreast`, clamped to the last head and place.
#[cube]
pub(super) fn dot_rows<L: Float, R: Float, N: Size>(
    left: &Tensor<Vector<L, N>>,
    right: &Tensor<Vector<R, N>>,
    rows: &Rows,
    first_head: usize,
    first_place: usize,
    partial: &mut SharedMemory<f32>,
    #[comptime] tile: Tile,
    #[comptime] abreast: usize,
) -> f32 {
    let lanes = comptime!(tile.lanes);
    let teams = comptime!(tile.teams());
    let pitch = comptime!(tile.pitch());
    let reads = comptime!(tile.reads());
    let even = comptime!(tile.is_even());
    let short = comptime!(tile.is_short());
    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    let team = unit / lanes;
    #[unroll(short)]
    for step in 0..lanes {
        let row = team + step * teams;
        let head = min(first_head + row % abreast, rows.heads - 1);
        let place = min(first_place + row / abreast, rows.end - 1);
        let left_start = rows.left + head * rows.left_stride;
        let right_start = right_row(rows, head, place);
        let mut sum = Vector::<f32, N>::zeroed();
        #[unroll(short)]
        for read in 0..reads {
            let index = lane + read * lanes;
            if even || index < rows.vectors {
                let x = Vector::<f32, N>::cast_from(left[left_start + index]);
                let y = Vector::<f32, N>::cast_from(right[right_start + index]);
                sum += x * y;
            }
        }
        partial[row * pitch + lane] = f32::cast_from(sum.vector_sum());
    }
    sync_cube();
    let mut total = f32::new(0.0);
    for other in 0..lanes {
        total += partial[unit * pitch + other];
    }
    sync_cube();
    total
}
