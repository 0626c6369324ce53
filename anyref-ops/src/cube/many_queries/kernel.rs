//! Kernel of attention over tiles of queries.

use cubecl::prelude::*;
use serde::{Deserialize, Serialize};

use super::steps::{add_weighted, clear, hold, products};
use super::tile::{EACH, KEYS, LANES, MINE, Mine, TOP_PITCH, Tile, WEIGHT_PITCH};
use crate::cube::masks::{LOWEST, is_masked};

/// Changes of the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Changes {
    /// Relative positions are added.
    pub(super) positioned: bool,
    /// The last query sees all keys, the one before it one key less, and so on.
    pub(super) causal: bool,
    /// Keys are masked.
    pub(super) masked: bool,
}

/// Number of the first keys that some query before `next` sees. A query that sees none attends to
/// all.
#[allow(
    clippy::collapsible_if,
    reason = "the outer condition is known when the kernel is compiled"
)]
#[cube]
pub(super) fn seen_keys(
    next: usize,
    queries: usize,
    keys: usize,
    #[comptime] changes: Changes,
) -> usize {
    let mut seen = keys;
    if comptime!(changes.causal && !changes.masked) {
        if keys >= queries {
            seen = keys - queries + min(next, queries);
        }
    }
    seen
}

/// Returns whether a query does not see a key.
#[allow(
    clippy::collapsible_if,
    reason = "the outer condition is known when the kernel is compiled"
)]
#[cube]
pub(super) fn is_hidden<M: Numeric>(
    mask: &Tensor<M>,
    batch: usize,
    head: usize,
    query: usize,
    key: usize,
    queries: usize,
    keys: usize,
    #[comptime] changes: Changes,
) -> bool {
    let mut hidden = false.runtime();
    if comptime!(changes.causal) {
        // Counted from the end, so that nothing is below 0.
        hidden = keys - key < queries - query;
    }
    if comptime!(changes.masked) {
        if is_masked(mask, batch, head, query, key) {
            hidden = true;
        }
    }
    hidden
}

/// Score of a key for a query with its changes: relative positions are added, hidden keys have a
/// score below that of any other, and keys from `seen` on one that is lower still.
#[cube]
pub(super) fn changed_score<F: Float, M: Numeric>(
    score: f32,
    mask: &Tensor<M>,
    height: &Tensor<F>,
    width: &Tensor<F>,
    batch: usize,
    head: usize,
    query: usize,
    key: usize,
    seen: usize,
    queries: usize,
    keys: usize,
    #[comptime] changes: Changes,
) -> f32 {
    let at = min(key, keys - 1);
    let mut score = score;
    if comptime!(changes.positioned) {
        let columns = width.shape(3);
        let of_row = batch * height.stride(0)
            + head * height.stride(1)
            + query * height.stride(2)
            + at / columns * height.stride(3);
        let of_column = batch * width.stride(0)
            + head * width.stride(1)
            + query * width.stride(2)
            + at % columns * width.stride(3);
        score += f32::cast_from(height[of_row]) + f32::cast_from(width[of_column]);
    }
    if is_hidden(mask, batch, head, query, at, queries, keys, changes) {
        score = f32::new(LOWEST);
    }
    if key >= seen {
        score = f32::new(LOWEST * 10.0);
    }
    score
}

/// Attention of a tile of queries of a head, a cube each: tiles, heads and batch are the axes.
#[cube(launch, address_type = "dynamic")]
pub(super) fn attend<F: Float, K: Float, M: Numeric, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<K, N>>,
    value: &Tensor<Vector<K, N>>,
    mask: &Tensor<M>,
    height: &Tensor<F>,
    width: &Tensor<F>,
    output: &mut Tensor<Vector<F, N>>,
    scale: f32,
    #[comptime] tile: Tile,
    #[comptime] changes: Changes,
    #[define(F, K, M)] _dtypes: [StorageType; 3],
) {
    let mut top = Array::<f32>::new(MINE);
    let mut total = Array::<f32>::new(MINE);
    attend_tile::<F, K, M, N>(
        query, key, value, mask, height, width, output, &mut top, &mut total, scale, tile, changes,
    );
}

/// [`attend`], which also writes the largest score of each query and the sum of its weights
/// relative to that, from which its probabilities can be computed again, `[batch, heads, queries,
/// 2]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn attend_keeping<F: Float, K: Float, M: Numeric, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<K, N>>,
    value: &Tensor<Vector<K, N>>,
    mask: &Tensor<M>,
    height: &Tensor<F>,
    width: &Tensor<F>,
    output: &mut Tensor<Vector<F, N>>,
    statistics: &mut Tensor<f32>,
    scale: f32,
    #[comptime] tile: Tile,
    #[comptime] changes: Changes,
    #[define(F, K, M)] _dtypes: [StorageType; 3],
) {
    let mut top = Array::<f32>::new(MINE);
    let mut total = Array::<f32>::new(MINE);
    attend_tile::<F, K, M, N>(
        query, key, value, mask, height, width, output, &mut top, &mut total, scale, tile, changes,
    );
    let (group, lane) = (UNIT_POS as usize / LANES, UNIT_POS as usize % LANES);
    let (heads, queries) = (query.shape(1), query.shape(2));
    let of_head = (CUBE_POS_Z as usize * heads + CUBE_POS_Y as usize) * queries;
    let mine = CUBE_POS_X as usize * comptime!(tile.queries()) + group * MINE;
    // All units of a group have the values of its queries.
    if lane == 0 {
        #[unroll]
        for query in 0..MINE {
            if mine + query < queries {
                let place = (of_head + mine + query) * 2;
                statistics[place] = top[query];
                statistics[place + 1] = total[query];
            }
        }
    }
}

/// Attention of a cube's queries, with the largest score of each of a unit's queries and the sum of
/// its weights.
///
/// Units form groups of [`LANES`] with [`MINE`] queries each. For each tile of keys a unit scores
/// [`EACH`] keys for its group's queries, and adds the weighted values of some of their components;
/// only the largest scores and the weights pass through shared memory.
#[cube]
fn attend_tile<F: Float, K: Float, M: Numeric, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<K, N>>,
    value: &Tensor<Vector<K, N>>,
    mask: &Tensor<M>,
    height: &Tensor<F>,
    width: &Tensor<F>,
    output: &mut Tensor<Vector<F, N>>,
    top: &mut Array<f32>,
    total: &mut Array<f32>,
    scale: f32,
    #[comptime] tile: Tile,
    #[comptime] changes: Changes,
) {
    let size = query.vector_size();
    let mut states = SharedMemory::<Vector<f32, N>>::new(comptime!(tile.state_vectors()));
    let mut rows = SharedMemory::<Vector<f32, N>>::new(comptime!(tile.row_vectors()));
    let mut weights = SharedMemory::<Mine>::new(comptime!(tile.weights()));
    let mut tops = SharedMemory::<Mine>::new(comptime!(tile.tops()));

    let unit = UNIT_POS as usize;
    let (group, lane) = (unit / LANES, unit % LANES);
    let (head, batch) = (CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let (heads, queries) = (query.shape(1), query.shape(2));
    let (kv_heads, keys) = (key.shape(1), key.shape(2));
    let kv_head = head * kv_heads / heads;
    let first_query = CUBE_POS_X as usize * comptime!(tile.queries());
    let mine = first_query + group * MINE;

    hold::<F, N>(query, &mut states, batch, head, first_query, scale, tile);

    let seen = seen_keys(
        first_query + comptime!(tile.queries()),
        queries,
        keys,
        changes,
    );

    #[unroll]
    for query in 0..MINE {
        top[query] = f32::new(LOWEST * 10.0);
        total[query] = f32::new(0.0);
    }
    let mut attended = Array::<Vector<f32, N>>::new(comptime!(tile.slots() * MINE));
    clear::<N>(&mut attended, tile);

    let mut first = 0usize;
    while first < seen {
        let mut scores = Array::<f32>::new(comptime!(EACH * MINE));
        products::<K, N>(
            &states,
            key,
            &mut rows,
            &mut scores,
            batch,
            kv_head,
            first,
            tile,
        );

        let mut highest = Mine::new(f32::new(LOWEST * 10.0));
        #[unroll]
        for index in 0..EACH {
            let current = first + lane + comptime!(index * LANES);
            #[unroll]
            for query in 0..MINE {
                let row = min(mine + query, queries - 1);
                let score = changed_score(
                    scores[comptime!(index * MINE + query)],
                    mask,
                    height,
                    width,
                    batch,
                    head,
                    row,
                    current,
                    seen,
                    queries,
                    keys,
                    changes,
                );
                scores[comptime!(index * MINE + query)] = score;
                highest[query] = max(highest[query], score);
            }
        }
        tops[group * TOP_PITCH + lane] = highest;
        sync_cube();

        let mut reached = Mine::new(f32::new(LOWEST * 10.0));
        for other in 0..LANES {
            let others = tops[group * TOP_PITCH + other];
            #[unroll]
            for query in 0..MINE {
                reached[query] = max(reached[query], others[query]);
            }
        }
        #[unroll]
        for query in 0..MINE {
            let highest = max(top[query], reached[query]);
            let kept = (top[query] - highest).exp();
            top[query] = highest;
            total[query] = total[query] * kept;
            #[unroll]
            for slot in 0..comptime!(tile.slots()) {
                let place = comptime!(slot * MINE + query);
                attended[place] = attended[place] * Vector::new(kept);
            }
        }
        #[unroll]
        for index in 0..EACH {
            let mut weight = Mine::new(f32::new(0.0));
            #[unroll]
            for query in 0..MINE {
                let score = scores[comptime!(index * MINE + query)];
                weight[query] = (score - top[query]).exp();
                total[query] = total[query] + weight[query];
            }
            weights[group * WEIGHT_PITCH + lane + comptime!(index * LANES)] = weight;
        }

        let count = min(KEYS, seen - first);
        add_weighted::<K, N>(
            value,
            &mut rows,
            &weights,
            &mut attended,
            batch,
            kv_head,
            first,
            count,
            tile,
        );
        first += KEYS;
    }

    let mut sum = Mine::new(f32::new(0.0));
    #[unroll]
    for query in 0..MINE {
        sum[query] = total[query];
    }
    tops[group * TOP_PITCH + lane] = sum;
    sync_cube();
    let mut whole = Mine::new(f32::new(0.0));
    for other in 0..LANES {
        let others = tops[group * TOP_PITCH + other];
        #[unroll]
        for query in 0..MINE {
            whole[query] = whole[query] + others[query];
        }
    }
    #[unroll]
    for query in 0..MINE {
        total[query] = whole[query];
        if mine + query < queries {
            let to = batch * output.stride(0)
                + head * output.stride(1)
                + (mine + query) * output.stride(2);
            #[unroll]
            for slot in 0..comptime!(tile.slots()) {
                let vector = lane + comptime!(slot * LANES);
                if vector < comptime!(tile.value_width()) {
                    let values = attended[comptime!(slot * MINE + query)];
                    let values = values / Vector::new(whole[query]);
                    output[to / size + vector] = Vector::cast_from(values);
                }
            }
        }
    }
}
