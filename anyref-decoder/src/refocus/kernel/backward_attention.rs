//! Gradients of queries and keys, through recomputed scores; see [`backward`](super::backward) for
//! the names.

use cubecl::prelude::*;

use super::backward::share;
use super::reduce::cube_sum;
use super::table::entry;
use super::tile::{Tile, attention_rows, dot_rows, right_row};

/// Gradients of the queries, and `Σ_j e_hj` in `totals`, `[n, heads]`; one cube for each head and
/// object.
///
/// A single pass over the context accumulates `Σ_j e_hj k_j` and `Σ_j p_hj k_j` separately, because
/// the total is not known yet.
#[cube(launch, address_type = "dynamic")]
pub(super) fn query_gradients<Q: Float, K: Float, N: Size>(
    query: &Tensor<Vector<Q, N>>,
    key: &Tensor<Vector<K, N>>,
    objects: &Array<u32>,
    tops: &Array<f32>,
    sums: &Array<f32>,
    logs: &Array<f32>,
    pulls: &Array<f32>,
    totals: &mut Array<f32>,
    output: &mut Tensor<Vector<Q, N>>,
    stride: usize,
    scale: f32,
    #[comptime] tile: Tile,
    #[comptime] strips: usize,
    #[define(Q, K)] _dtypes: [StorageType; 2],
) {
    let units = comptime!(tile.units);
    let lanes = comptime!(tile.lanes);
    let teams = comptime!(tile.teams());
    let mut partial = SharedMemory::<f32>::new(comptime!(tile.partial()));
    let mut weights = SharedMemory::<f32>::new(units);
    let mut shares = SharedMemory::<f32>::new(units);
    let mut vectors = SharedMemory::<Vector<f32, N>>::new(units);
    let mut along_shares = Array::<Vector<f32, N>>::new(strips);
    let mut along_weights = Array::<Vector<f32, N>>::new(strips);
    #[unroll]
    for strip in 0..strips {
        along_shares[strip] = Vector::zeroed();
        along_weights[strip] = Vector::zeroed();
    }

    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    let team = unit / lanes;
    let head = CUBE_POS_X as usize;
    let index = CUBE_POS_Y as usize;
    let object = entry(objects, index);
    let rows = attention_rows(query, key, index, object.row, object.context_end);
    let whole_top = tops[index * rows.heads + head];
    let whole_sum = sums[index * rows.heads + head];
    let mut total = f32::new(0.0);
    let mut first = object.context_start;
    while first < object.context_end {
        let score = dot_rows(query, key, &rows, head, first, &mut partial, tile, 1usize) * scale;
        let place = first + unit;
        let mut weight = f32::new(0.0);
        let mut share_here = f32::new(0.0);
        if place < object.context_end {
            let log = score - whole_top - whole_sum;
            weight = log.exp();
            share_here = share(&object, place, log, index * stride, logs, pulls);
        }
        total += share_here;
        weights[unit] = weight;
        shares[unit] = share_here;
        sync_cube();
        let mut row = team;
        while row < units && first + row < object.context_end {
            let start = right_row(&rows, head, first + row);
            #[unroll]
            for strip in 0..strips {
                let vector = lane + comptime!(strip * lanes);
                if vector < rows.vectors {
                    let key = Vector::<f32, N>::cast_from(key[start + vector]);
                    along_shares[strip] = along_shares[strip] + key * Vector::new(shares[row]);
                    along_weights[strip] = along_weights[strip] + key * Vector::new(weights[row]);
                }
            }
            row += teams;
        }
        sync_cube();
        first += units;
    }
    let total = cube_sum(total, &mut shares, units);
    if unit == 0 {
        totals[index * rows.heads + head] = total;
    }
    #[unroll]
    for strip in 0..strips {
        vectors[unit] = along_shares[strip] - along_weights[strip] * Vector::new(total);
        sync_cube();
        let vector = lane + comptime!(strip * lanes);
        if team == 0 && vector < rows.vectors {
            let mut sum = Vector::<f32, N>::zeroed();
            for other in 0..teams {
                sum += vectors[other * lanes + lane];
            }
            let place = (index * rows.heads + head) * rows.vectors + vector;
            output[place] = Vector::cast_from(sum * Vector::new(scale));
        }
        sync_cube();
    }
}

/// Gradients of the keys, by tiles of `tile.teams()` positions, key heads and batch rows.
#[cube(launch, address_type = "dynamic")]
pub(super) fn key_gradients<Q: Float, K: Float, N: Size>(
    query: &Tensor<Vector<Q, N>>,
    key: &Tensor<Vector<K, N>>,
    objects: &Array<u32>,
    order: &Array<u32>,
    tops: &Array<f32>,
    sums: &Array<f32>,
    logs: &Array<f32>,
    pulls: &Array<f32>,
    totals: &Array<f32>,
    output: &mut Tensor<Vector<K, N>>,
    stride: usize,
    scale: f32,
    #[comptime] tile: Tile,
    #[comptime] strips: usize,
    #[define(Q, K)] _dtypes: [StorageType; 2],
) {
    let lanes = comptime!(tile.lanes);
    let teams = comptime!(tile.teams());
    let pitch = comptime!(tile.pitch());
    let mut partial = SharedMemory::<f32>::new(comptime!(tile.partial()));
    let mut keys = Array::<Vector<f32, N>>::new(strips);
    let mut mine = Array::<Vector<f32, N>>::new(strips);
    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    let team = unit / lanes;
    let first = CUBE_POS_X as usize * teams;
    let place = first + team;
    let kv_head = CUBE_POS_Y as usize;
    let row = CUBE_POS_Z as usize;
    let length = key.shape(2);
    let size = key.vector_size();
    let vectors = key.shape(3) / size;
    let heads = query.shape(1);
    let group = heads / key.shape(1);
    let start = row * key.stride(0) / size
        + kv_head * key.stride(1) / size
        + min(place, length - 1) * key.stride(2) / size;
    #[unroll]
    for strip in 0..strips {
        let vector = lane + comptime!(strip * lanes);
        mine[strip] = Vector::zeroed();
        keys[strip] = Vector::zeroed();
        if vector < vectors {
            keys[strip] = Vector::cast_from(key[start + vector]);
        }
    }

    for entry_place in order[row] as usize..order[row + 1] as usize {
        let index = order[entry_place] as usize;
        let object = entry(objects, index);
        let meets = first < object.context_end && first + teams > object.context_start;
        if meets && object.span_start < object.span_end {
            for step in 0..group {
                let head = kv_head * group + step;
                let left = (index * heads + head) * vectors;
                let mut sum = Vector::<f32, N>::zeroed();
                #[unroll]
                for strip in 0..strips {
                    let vector = lane + comptime!(strip * lanes);
                    if vector < vectors {
                        sum += keys[strip] * Vector::cast_from(query[left + vector]);
                    }
                }
                partial[team * pitch + lane] = f32::cast_from(sum.vector_sum());
                sync_cube();
                let mut score = f32::new(0.0);
                for other in 0..lanes {
                    score += partial[team * pitch + other];
                }
                sync_cube();
                if place >= object.context_start && place < object.context_end {
                    let whole = index * heads + head;
                    let log = score * scale - tops[whole] - sums[whole];
                    let share = share(&object, place, log, index * stride, logs, pulls);
                    let slope = (share - totals[index * heads + head] * log.exp()) * scale;
                    #[unroll]
                    for strip in 0..strips {
                        let vector = lane + comptime!(strip * lanes);
                        if vector < vectors {
                            let query = Vector::<f32, N>::cast_from(query[left + vector]);
                            mine[strip] = mine[strip] + query * Vector::new(slope);
                        }
                    }
                }
            }
        }
    }

    if place < length {
        let out = ((row * key.shape(1) + kv_head) * length + place) * vectors;
        #[unroll]
        for strip in 0..strips {
            let vector = lane + comptime!(strip * lanes);
            if vector < vectors {
                output[out + vector] = Vector::cast_from(mine[strip]);
            }
        }
    }
}
