//! Steps of the kernels of attention and of its gradients.

use cubecl::prelude::*;

use super::tile::{EACH, LANES, MINE, Mine, Tile, WEIGHT_PITCH, add_products, load};
use crate::cube::reading::row_start;

/// Brings a cube's own rows of a head, times a factor, to shared memory.
#[cube]
pub(super) fn hold<F: Float, N: Size>(
    source: &Tensor<Vector<F, N>>,
    held: &mut SharedMemory<Vector<f32, N>>,
    batch: usize,
    head: usize,
    first: usize,
    factor: f32,
    #[comptime] tile: Tile,
) {
    load::<F, N>(
        source,
        held,
        row_start(source, batch, head, 0),
        source.stride(2) / source.vector_size(),
        first,
        source.shape(2) - 1,
        0,
        factor,
        comptime!(tile.load_states()),
    );
}

/// Products of a unit's rows with its rows of a tile of a head's, which begins at row `first`;
/// those of a row of the tile lie beside one another.
#[cube]
pub(super) fn products<F: Float, N: Size>(
    held: &SharedMemory<Vector<f32, N>>,
    source: &Tensor<Vector<F, N>>,
    rows: &mut SharedMemory<Vector<f32, N>>,
    products: &mut Array<f32>,
    batch: usize,
    head: usize,
    first: usize,
    #[comptime] tile: Tile,
) {
    #[unroll]
    for index in 0..comptime!(EACH * MINE) {
        products[index] = f32::new(0.0);
    }
    #[unroll]
    for part in 0..comptime!(tile.parts()) {
        // Rows are read before the next ones are written.
        sync_cube();
        let offset = comptime!(part * tile.step());
        load::<F, N>(
            source,
            rows,
            row_start(source, batch, head, 0),
            source.stride(2) / source.vector_size(),
            first,
            source.shape(2) - 1,
            offset,
            1.0,
            comptime!(tile.load_keys()),
        );
        sync_cube();
        let count = comptime!(tile.step_of(part));
        add_products::<N>(held, rows, products, offset, count, tile);
    }
}

/// Adds `count` rows of a head from `first` on, weighted for each of a unit's rows, to its sums of
/// their components. Weights may have been written just before.
#[cube]
pub(super) fn add_weighted<F: Float, N: Size>(
    source: &Tensor<Vector<F, N>>,
    rows: &mut SharedMemory<Vector<f32, N>>,
    weights: &SharedMemory<Mine>,
    sums: &mut Array<Vector<f32, N>>,
    batch: usize,
    head: usize,
    first: usize,
    count: usize,
    #[comptime] tile: Tile,
) {
    let unit = UNIT_POS as usize;
    let (group, lane) = (unit / LANES, unit % LANES);
    #[unroll]
    for part in 0..comptime!(tile.value_parts()) {
        sync_cube();
        load::<F, N>(
            source,
            rows,
            row_start(source, batch, head, 0),
            source.stride(2) / source.vector_size(),
            first,
            source.shape(2) - 1,
            comptime!(part * tile.value_step()),
            1.0,
            comptime!(tile.load_values()),
        );
        sync_cube();
        for turn in 0..count {
            let weight = weights[group * WEIGHT_PITCH + turn];
            #[unroll]
            for slot in 0..comptime!(tile.part_slots()) {
                let whole = comptime!(part * tile.part_slots() + slot);
                if comptime!(whole < tile.slots()) {
                    let place = turn * comptime!(tile.value_step()) + lane;
                    let values = rows[place + comptime!(slot * LANES)];
                    #[unroll]
                    for mine in 0..MINE {
                        let place = comptime!(whole * MINE + mine);
                        sums[place] = sums[place] + values * Vector::new(weight[mine]);
                    }
                }
            }
        }
    }
}

/// Sets sums of components to zero.
#[cube]
pub(super) fn clear<N: Size>(sums: &mut Array<Vector<f32, N>>, #[comptime] tile: Tile) {
    #[unroll]
    for index in 0..comptime!(tile.slots() * MINE) {
        sums[index] = Vector::<f32, N>::zeroed();
    }
}

/// Writes a unit's sums, times a factor, as components of its rows of a head, from `mine` on.
#[cube]
pub(super) fn write<F: Float, N: Size>(
    output: &mut Tensor<Vector<F, N>>,
    sums: &Array<Vector<f32, N>>,
    batch: usize,
    head: usize,
    mine: usize,
    factor: f32,
    #[comptime] tile: Tile,
) {
    let lane = UNIT_POS as usize % LANES;
    #[unroll]
    for row in 0..MINE {
        if mine + row < output.shape(2) {
            let to = row_start(output, batch, head, mine + row);
            #[unroll]
            for slot in 0..comptime!(tile.slots()) {
                let vector = lane + comptime!(slot * LANES);
                if vector < comptime!(tile.value_width()) {
                    let values = sums[comptime!(slot * MINE + row)] * Vector::new(factor);
                    output[to + vector] = Vector::cast_from(values);
                }
            }
        }
    }
}
