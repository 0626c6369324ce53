//! Dot products of many rows at once.
//!
//! The units of a cube form teams of `lanes`. A team reads a row side by side, so that loads are contiguous, and
//! leaves its lanes' sums in shared memory; then every unit adds up those of one row. A tile has as many rows as the
//! cube has units.

use cubecl::prelude::*;

/// How a cube is divided; units and lanes are powers of two.
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
    /// Units in a cube, wherever there are enough.
    const UNITS: usize = 128;
    /// Sixteen lanes of sixteen bytes read two cache lines; more would outgrow the shared memory of WebGPU.
    const LANES: usize = 16;
    /// Loads of a unit that are written out one after the other, so that all of them are under way at once.
    const LOADS: usize = 32;

    /// For rows of some vectors.
    pub(super) fn new(vectors: usize) -> Self {
        let lanes = Self::LANES.min(1 << vectors.max(1).ilog2());
        Self {
            units: Self::UNITS,
            lanes,
            vectors,
        }
    }

    /// With fewer lanes, until there are so many cubes of `lanes` columns for each of `count` objects: few lanes read
    /// less than a cache line, few cubes leave a large GPU idle.
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

    /// Whether every lane reads as many.
    pub(super) fn is_even(self) -> bool {
        self.vectors.is_multiple_of(self.lanes)
    }

    /// Whether the loads of a tile are few enough to be written out.
    pub(super) fn is_short(self) -> bool {
        self.lanes * self.reads() <= Self::LOADS
    }

    /// Numbers in the shared memory of [`dot_rows`].
    pub(super) fn partial(self) -> usize {
        self.units * self.pitch()
    }

    /// From row to row there; odd, so that no two rows meet in a bank.
    pub(super) fn pitch(self) -> usize {
        self.lanes + 1
    }

    /// Rows that are read at the same time.
    pub(super) fn teams(self) -> usize {
        self.units / self.lanes
    }
}

/// Where rows lie, in vectors. Row `(head, place)` is the product of the left row of `head` and the right row of
/// `head / group` and `place`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Rows {
    /// The left row of head 0.
    pub(super) left: usize,
    /// From head to head.
    pub(super) left_stride: usize,
    /// The right row of head 0 and place 0.
    pub(super) right: usize,
    /// From one right head to the next.
    pub(super) head_stride: usize,
    /// From place to place.
    pub(super) place_stride: usize,
    /// Left heads that share a right one.
    pub(super) group: usize,
    /// Left heads.
    pub(super) heads: usize,
    /// One after the last place.
    pub(super) end: usize,
    /// Length of a row.
    pub(super) vectors: usize,
}

/// The rows of an object's queries and of the keys it attends to.
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

/// Where the right row of a head and place begins.
#[cube]
pub(super) fn right_row(rows: &Rows, head: usize, place: usize) -> usize {
    rows.right + head / rows.group * rows.head_stride + place * rows.place_stride
}

/// The product of one row a unit: of place `first_place + unit / abreast` and head `first_head + unit % abreast`.
/// Beyond the last head or place it is that of the last.
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
