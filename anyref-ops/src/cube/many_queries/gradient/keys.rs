//! Gradients of keys and values.

use cubecl::prelude::*;

use super::tiles::Tiles;
use crate::cube::many_queries::kernel::{Changes, is_hidden};
use crate::cube::many_queries::steps::{add_weighted, clear, hold, products, write};
use crate::cube::many_queries::tile::{EACH, KEYS, LANES, MINE, Mine, WEIGHT_PITCH};
use crate::cube::masks::LOWEST;

/// Gradients of a tile of keys and values of a head, a cube each: tiles, heads of keys and batch
/// are the axes. `along` has the products of outputs with their gradients.
#[cube(launch, address_type = "dynamic")]
pub(super) fn key_gradients<F: Float, M: Numeric, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<F, N>>,
    value: &Tensor<Vector<F, N>>,
    mask: &Tensor<M>,
    gradient: &Tensor<Vector<F, N>>,
    statistics: &Tensor<f32>,
    along: &Tensor<f32>,
    of_keys: &mut Tensor<Vector<F, N>>,
    of_values: &mut Tensor<Vector<F, N>>,
    scale: f32,
    #[comptime] tiles: Tiles,
    #[comptime] changes: Changes,
    #[define(F, M)] _dtypes: [StorageType; 2],
) {
    let mut held = SharedMemory::<Vector<f32, N>>::new(comptime!(tiles.scored.state_vectors()));
    let mut values = SharedMemory::<Vector<f32, N>>::new(comptime!(tiles.valued.state_vectors()));
    let mut rows = SharedMemory::<Vector<f32, N>>::new(comptime!(tiles.row_vectors()));
    let mut weights = SharedMemory::<Mine>::new(comptime!(tiles.scored.weights()));
    let mut pulls = SharedMemory::<Mine>::new(comptime!(tiles.scored.weights()));

    let unit = UNIT_POS as usize;
    let (group, lane) = (unit / LANES, unit % LANES);
    let (kv_head, batch) = (CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let (heads, queries) = (query.shape(1), query.shape(2));
    let (kv_heads, keys) = (key.shape(1), key.shape(2));
    let sharing = heads / kv_heads;
    let first_key = CUBE_POS_X as usize * comptime!(tiles.scored.queries());
    let mine = first_key + group * MINE;

    let scored = comptime!(tiles.scored);
    let valued = comptime!(tiles.valued);
    hold::<F, N>(key, &mut held, batch, kv_head, first_key, scale, scored);
    hold::<F, N>(value, &mut values, batch, kv_head, first_key, 1.0, valued);

    let mut key_sums = Array::<Vector<f32, N>>::new(comptime!(tiles.scored.slots() * MINE));
    let mut value_sums = Array::<Vector<f32, N>>::new(comptime!(tiles.valued.slots() * MINE));
    clear::<N>(&mut key_sums, scored);
    clear::<N>(&mut value_sums, valued);
    let mut scores = Array::<f32>::new(comptime!(EACH * MINE));
    let mut dots = Array::<f32>::new(comptime!(EACH * MINE));
    let skipped = unseeing_queries(first_key, queries, keys, changes);
    for member in 0..sharing {
        let head = kv_head * sharing + member;
        let of_head = (batch * heads + head) * queries;
        let mut done = 0usize;
        while skipped + done < queries {
            let first = skipped + done;
            products::<F, N>(
                &held,
                query,
                &mut rows,
                &mut scores,
                batch,
                head,
                first,
                scored,
            );
            products::<F, N>(
                &values, gradient, &mut rows, &mut dots, batch, head, first, valued,
            );
            #[unroll]
            for index in 0..EACH {
                let current = first + lane + comptime!(index * LANES);
                let at = min(current, queries - 1);
                let top = statistics[(of_head + at) * 2];
                let share = 1.0 / statistics[(of_head + at) * 2 + 1];
                let own = along[of_head + at];
                let mut weight = Mine::new(f32::new(0.0));
                let mut pull = Mine::new(f32::new(0.0));
                #[unroll]
                for key in 0..MINE {
                    let row = min(mine + key, keys - 1);
                    let place = comptime!(index * MINE + key);
                    let hidden = is_hidden(mask, batch, head, at, row, queries, keys, changes);
                    let mut score = scores[place];
                    if hidden {
                        score = f32::new(LOWEST);
                    }
                    if current < queries {
                        let probability = (score - top).exp() * share;
                        weight[key] = probability;
                        if !hidden {
                            pull[key] = probability * (dots[place] - own);
                        }
                    }
                }
                let place = group * WEIGHT_PITCH + lane + comptime!(index * LANES);
                weights[place] = weight;
                pulls[place] = pull;
            }
            let count = min(KEYS, queries - first);
            add_weighted::<F, N>(
                gradient,
                &mut rows,
                &weights,
                &mut value_sums,
                batch,
                head,
                first,
                count,
                valued,
            );
            add_weighted::<F, N>(
                query,
                &mut rows,
                &pulls,
                &mut key_sums,
                batch,
                head,
                first,
                count,
                scored,
            );
            done += KEYS;
        }
    }
    write::<F, N>(of_keys, &key_sums, batch, kv_head, mine, scale, scored);
    write::<F, N>(of_values, &value_sums, batch, kv_head, mine, 1.0, valued);
}

/// Number of the first queries that see no key from `first` on. A query that sees no key at all
/// attends to all.
#[allow(
    clippy::collapsible_if,
    reason = "the outer condition is known when the kernel is compiled"
)]
#[cube]
fn unseeing_queries(
    first: usize,
    queries: usize,
    keys: usize,
    #[comptime] changes: Changes,
) -> usize {
    let mut count = 0usize.runtime();
    if comptime!(changes.causal && !changes.masked) {
        if keys >= queries && first + queries > keys {
            count = first + queries - keys;
        }
    }
    count
}
