//! Gradient of queries.

use cubecl::prelude::*;

use super::tiles::Tiles;
use crate::cube::many_queries::kernel::{Changes, is_hidden, seen_keys};
use crate::cube::many_queries::steps::{add_weighted, clear, hold, products, write};
use crate::cube::many_queries::tile::{
    EACH, KEYS, LANES, MINE, Mine, TOP_PITCH, Tile, WEIGHT_PITCH,
};
use crate::cube::reading::row_start;

/// Gradient of a tile of queries of a head, a cube each: tiles, heads and batch are the axes. Also
/// writes the product of each query's output with its gradient to `along`, `[batch, heads,
/// queries]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn query_gradient<F: Float, M: Numeric, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<F, N>>,
    value: &Tensor<Vector<F, N>>,
    mask: &Tensor<M>,
    attended: &Tensor<Vector<F, N>>,
    gradient: &Tensor<Vector<F, N>>,
    statistics: &Tensor<f32>,
    along: &mut Tensor<f32>,
    output: &mut Tensor<Vector<F, N>>,
    scale: f32,
    #[comptime] tiles: Tiles,
    #[comptime] changes: Changes,
    #[define(F, M)] _dtypes: [StorageType; 2],
) {
    let mut states = SharedMemory::<Vector<f32, N>>::new(comptime!(tiles.scored.state_vectors()));
    let mut pulls = SharedMemory::<Vector<f32, N>>::new(comptime!(tiles.valued.state_vectors()));
    let mut rows = SharedMemory::<Vector<f32, N>>::new(comptime!(tiles.row_vectors()));
    let mut weights = SharedMemory::<Mine>::new(comptime!(tiles.scored.weights()));
    let mut partial = SharedMemory::<Mine>::new(comptime!(tiles.scored.tops()));

    let unit = UNIT_POS as usize;
    let (group, lane) = (unit / LANES, unit % LANES);
    let (head, batch) = (CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let (heads, queries) = (query.shape(1), query.shape(2));
    let (kv_heads, keys) = (key.shape(1), key.shape(2));
    let kv_head = head * kv_heads / heads;
    let first_query = CUBE_POS_X as usize * comptime!(tiles.scored.queries());
    let mine = first_query + group * MINE;
    let of_head = (batch * heads + head) * queries;

    let scored = comptime!(tiles.scored);
    let valued = comptime!(tiles.valued);
    hold::<F, N>(query, &mut states, batch, head, first_query, scale, scored);
    hold::<F, N>(gradient, &mut pulls, batch, head, first_query, 1.0, valued);
    sync_cube();
    let own = outputs_along_gradients::<F, N>(attended, &pulls, &mut partial, mine, valued);
    let mut top = Array::<f32>::new(MINE);
    let mut share = Array::<f32>::new(MINE);
    #[unroll]
    for query in 0..MINE {
        let place = of_head + min(mine + query, queries - 1);
        top[query] = statistics[place * 2];
        share[query] = 1.0 / statistics[place * 2 + 1];
        if lane == 0 && mine + query < queries {
            along[of_head + mine + query] = own[query];
        }
    }

    let mut sums = Array::<Vector<f32, N>>::new(comptime!(tiles.scored.slots() * MINE));
    clear::<N>(&mut sums, scored);
    let mut scores = Array::<f32>::new(comptime!(EACH * MINE));
    let mut dots = Array::<f32>::new(comptime!(EACH * MINE));
    let next = first_query + comptime!(tiles.scored.queries());
    let seen = seen_keys(next, queries, keys, changes);
    let mut first = 0usize;
    while first < seen {
        products::<F, N>(
            &states,
            key,
            &mut rows,
            &mut scores,
            batch,
            kv_head,
            first,
            scored,
        );
        products::<F, N>(
            &pulls, value, &mut rows, &mut dots, batch, kv_head, first, valued,
        );
        #[unroll]
        for index in 0..EACH {
            let current = first + lane + comptime!(index * LANES);
            let at = min(current, keys - 1);
            let mut weight = Mine::new(f32::new(0.0));
            #[unroll]
            for query in 0..MINE {
                let row = min(mine + query, queries - 1);
                let hidden = is_hidden(mask, batch, head, row, at, queries, keys, changes);
                if !hidden && current < seen {
                    let place = comptime!(index * MINE + query);
                    let probability = (scores[place] - top[query]).exp() * share[query];
                    weight[query] = probability * (dots[place] - own[query]);
                }
            }
            weights[group * WEIGHT_PITCH + lane + comptime!(index * LANES)] = weight;
        }
        let count = min(KEYS, seen - first);
        add_weighted::<F, N>(
            key, &mut rows, &weights, &mut sums, batch, kv_head, first, count, scored,
        );
        first += KEYS;
    }
    write::<F, N>(output, &sums, batch, head, mine, scale, scored);
}

/// Products of the outputs of a unit's queries with their gradients, which are in shared memory.
#[cube]
fn outputs_along_gradients<F: Float, N: Size>(
    attended: &Tensor<Vector<F, N>>,
    pulls: &SharedMemory<Vector<f32, N>>,
    partial: &mut SharedMemory<Mine>,
    mine: usize,
    #[comptime] tile: Tile,
) -> Mine {
    let size = attended.vector_size();
    let unit = UNIT_POS as usize;
    let (group, lane) = (unit / LANES, unit % LANES);
    let (head, batch) = (CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let mut some = Mine::new(f32::new(0.0));
    #[unroll]
    for query in 0..MINE {
        let row = min(mine + query, attended.shape(2) - 1);
        let from = row_start(attended, batch, head, row);
        let held = (group * MINE + query) * comptime!(tile.state_pitch());
        let mut sum = f32::new(0.0);
        #[unroll]
        for slot in 0..comptime!(tile.slots()) {
            let vector = lane + comptime!(slot * LANES);
            if vector < comptime!(tile.value_width()) {
                let outputs = Vector::<f32, N>::cast_from(attended[from + vector]);
                let pulls = pulls[held + vector];
                #[unroll]
                for i in 0..size {
                    sum += outputs[i] * pulls[i];
                }
            }
        }
        some[query] = sum;
    }
    partial[group * TOP_PITCH + lane] = some;
    sync_cube();
    let mut whole = Mine::new(f32::new(0.0));
    for other in 0..LANES {
        let others = partial[group * TOP_PITCH + other];
        #[unroll]
        for query in 0..MINE {
            whole[query] = whole[query] + others[query];
        }
    }
    whole
}
