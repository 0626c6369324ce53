//! Kernel of attention whose products are multiplied by tensor cores.
//!
//! A cube of [`PLANES`] planes attends from [`SIDE`] queries a plane to a tile of keys at a time.
//! Queries stay in the planes' registers as matrices, and so do sums of weighted values, in f32.
//! Scores pass through shared memory, where each unit weights the keys of half a row. A device does
//! not tell which element of a matrix a unit holds, so that sums can be scaled by rows in shared
//! memory only: that happens when a score exceeds the reference of its row by more than [`GROWTH`],
//! not whenever a row's largest score changes.

use cubecl::cmma::{self, Matrix, MatrixIdent, MatrixLayout};
use cubecl::prelude::*;

use super::kernel::{Changes, changed_score, seen_keys};
use super::matrix_tile::{MatrixTile, PLANE, PLANES, SIDE, Section};
use crate::cube::masks::LOWEST;
use crate::cube::reading::row_start;

/// Largest logarithm of a weight; their types of 16 bits hold far larger numbers.
const GROWTH: f32 = 4.0;
/// Units that share a row of scores.
const SHARERS: usize = PLANE / SIDE;

/// Attention of a tile of queries of a head, a cube each: tiles, heads and batch are the axes.
#[cube(launch, address_type = "dynamic")]
pub(super) fn attend_by_matrices<F: Float, M: Numeric, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<F, N>>,
    value: &Tensor<Vector<F, N>>,
    mask: &Tensor<M>,
    height: &Tensor<F>,
    width: &Tensor<F>,
    output: &mut Tensor<Vector<F, N>>,
    scale: f32,
    #[comptime] tile: MatrixTile,
    #[comptime] changes: Changes,
    #[define(F, M)] _dtypes: [StorageType; 2],
) {
    let mut statistics = Array::<f32>::new(2usize);
    attend_tile::<F, M, N>(
        query,
        key,
        value,
        mask,
        height,
        width,
        output,
        &mut statistics,
        scale,
        tile,
        changes,
    );
}

/// [`attend_by_matrices`], which also writes the reference of each query's scores and the sum of
/// its weights relative to that, from which its probabilities can be computed again, `[batch,
/// heads, queries, 2]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn attend_by_matrices_keeping<F: Float, M: Numeric, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<F, N>>,
    value: &Tensor<Vector<F, N>>,
    mask: &Tensor<M>,
    height: &Tensor<F>,
    width: &Tensor<F>,
    output: &mut Tensor<Vector<F, N>>,
    kept: &mut Tensor<f32>,
    scale: f32,
    #[comptime] tile: MatrixTile,
    #[comptime] changes: Changes,
    #[define(F, M)] _dtypes: [StorageType; 2],
) {
    let mut statistics = Array::<f32>::new(2usize);
    attend_tile::<F, M, N>(
        query,
        key,
        value,
        mask,
        height,
        width,
        output,
        &mut statistics,
        scale,
        tile,
        changes,
    );
    let (heads, queries) = (query.shape(1), query.shape(2));
    let of_head = (CUBE_POS_Z as usize * heads + CUBE_POS_Y as usize) * queries;
    let lane = UNIT_POS as usize % PLANE;
    let row_of_plane = lane / SHARERS;
    let row = CUBE_POS_X as usize * comptime!(PLANES * SIDE)
        + UNIT_POS as usize / PLANE * SIDE
        + row_of_plane;
    let is_first_sharer = lane == row_of_plane * SHARERS;
    if is_first_sharer && row < queries {
        kept[(of_head + row) * 2] = statistics[0];
        kept[(of_head + row) * 2 + 1] = statistics[1];
    }
}

/// Attention of a cube's queries; a unit's `statistics` are the reference of its row's scores and
/// the sum of the row's weights.
#[cube]
fn attend_tile<F: Float, M: Numeric, N: Size>(
    query: &Tensor<Vector<F, N>>,
    key: &Tensor<Vector<F, N>>,
    value: &Tensor<Vector<F, N>>,
    mask: &Tensor<M>,
    height: &Tensor<F>,
    width: &Tensor<F>,
    output: &mut Tensor<Vector<F, N>>,
    statistics: &mut Array<f32>,
    scale: f32,
    #[comptime] tile: MatrixTile,
    #[comptime] changes: Changes,
) {
    let size = query.vector_size();
    // Matrices begin at multiples of 32 bytes.
    let mut rows =
        SharedMemory::<Vector<F, N>>::new_aligned(comptime!(tile.row_vectors()), 32usize);
    let mut scores = SharedMemory::<f32>::new_aligned(comptime!(tile.scores()), 32usize);
    let mut weights = SharedMemory::<F>::new_aligned(comptime!(tile.weights()), 32usize);

    let unit = UNIT_POS as usize;
    let (plane, lane) = (unit / PLANE, unit % PLANE);
    let (row, share) = (lane / SHARERS, lane % SHARERS);
    let (head, batch) = (CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let (heads, queries) = (query.shape(1), query.shape(2));
    let (kv_heads, keys) = (key.shape(1), key.shape(2));
    let kv_head = head * kv_heads / heads;
    let first_query = CUBE_POS_X as usize * comptime!(PLANES * SIDE);
    let mine = first_query + plane * SIDE + row;
    let own_query = min(mine, queries - 1);
    let own_scores = plane * comptime!(SIDE * tile.score_pitch());
    let own_weights = plane * comptime!(SIDE * tile.weight_pitch());
    let score_pitch = comptime!(tile.score_pitch() as u32).runtime();
    let weight_pitch = comptime!(tile.weight_pitch() as u32).runtime();
    let key_pitch = comptime!(tile.key_pitch() as u32).runtime();
    let value_pitch = comptime!(tile.value_pitch() as u32).runtime();

    // The place of keys and values is that of the queries first.
    bring::<F, N>(
        query,
        &mut rows,
        batch,
        head,
        first_query,
        comptime!(tile.load_queries()),
    );
    sync_cube();
    let mut held = Sequence::<Matrix<F>>::new();
    #[unroll]
    for part in 0..comptime!(tile.parts()) {
        let from =
            plane * comptime!(SIDE * tile.key_vectors()) + comptime!(part * SIDE / tile.size());
        let part = unsafe {
            Matrix::<F>::uninitialized(MatrixIdent::A, SIDE, SIDE, SIDE, MatrixLayout::RowMajor)
        };
        cmma::load(
            &part,
            &rows.slice(from, comptime!(tile.row_vectors())),
            key_pitch,
        );
        held.push(part);
    }
    let mut sums = Sequence::<Matrix<f32>>::new();
    #[unroll]
    for _ in 0..comptime!(tile.value_parts()) {
        sums.push(zeros());
    }

    let seen = seen_keys(
        first_query + comptime!(PLANES * SIDE),
        queries,
        keys,
        changes,
    );
    let mut reference = f32::new(LOWEST * 10.0);
    let mut total = f32::new(0.0);
    let mut first = 0usize;
    while first < seen {
        // Rows are read before the next ones are written.
        sync_cube();
        bring::<F, N>(
            key,
            &mut rows,
            batch,
            kv_head,
            first,
            comptime!(tile.load_keys()),
        );
        bring::<F, N>(
            value,
            &mut rows,
            batch,
            kv_head,
            first,
            comptime!(tile.load_values()),
        );
        sync_cube();

        #[unroll]
        for block in 0..comptime!(tile.keys() / SIDE) {
            let products = zeros();
            #[unroll]
            for part in 0..comptime!(tile.parts()) {
                let from = comptime!(block * SIDE * tile.key_vectors() + part * SIDE / tile.size());
                let keys = unsafe {
                    Matrix::<F>::uninitialized(
                        MatrixIdent::B,
                        SIDE,
                        SIDE,
                        SIDE,
                        MatrixLayout::ColMajor,
                    )
                };
                cmma::load(
                    &keys,
                    &rows.slice(from, comptime!(tile.row_vectors())),
                    key_pitch,
                );
                cmma::execute::<F, F, f32, f32>(held.index(part), &keys, &products, &products);
            }
            let to = own_scores + comptime!(block * SIDE);
            cmma::store(
                &mut scores.slice_mut(to, comptime!(tile.scores())),
                &products,
                score_pitch,
                MatrixLayout::RowMajor,
            );
        }
        sync_plane();

        let mut own = Array::<f32>::new(comptime!(tile.keys() / SHARERS));
        let mut highest = f32::new(LOWEST * 10.0);
        #[unroll]
        for index in 0..comptime!(tile.keys() / SHARERS) {
            let place = share + comptime!(index * SHARERS);
            let product = scores[own_scores + row * comptime!(tile.score_pitch()) + place];
            let score = changed_score(
                product * scale,
                mask,
                height,
                width,
                batch,
                head,
                own_query,
                first + place,
                seen,
                queries,
                keys,
                changes,
            );
            own[index] = score;
            highest = max(highest, score);
        }
        highest = max(highest, plane_shuffle_xor(highest, 1u32));
        let grown = highest > reference + GROWTH;
        if plane_any(grown) {
            let mut factor = f32::new(1.0);
            if grown {
                factor = (reference - highest).exp();
                reference = highest;
            }
            total *= factor;
            if first > 0 {
                // All units have read their scores, whose place is used.
                sync_plane();
                #[unroll]
                for part in 0..comptime!(tile.value_parts()) {
                    cmma::store(
                        &mut scores.slice_mut(own_scores, comptime!(tile.scores())),
                        sums.index(part),
                        score_pitch,
                        MatrixLayout::RowMajor,
                    );
                    sync_plane();
                    #[unroll]
                    for index in 0..comptime!(SIDE / SHARERS) {
                        let place = own_scores
                            + row * comptime!(tile.score_pitch())
                            + share
                            + comptime!(index * SHARERS);
                        scores[place] = scores[place] * factor;
                    }
                    sync_plane();
                    cmma::load_with_layout(
                        sums.index(part),
                        &scores.slice(own_scores, comptime!(tile.scores())),
                        score_pitch,
                        MatrixLayout::RowMajor,
                    );
                    sync_plane();
                }
            }
        }
        #[unroll]
        for index in 0..comptime!(tile.keys() / SHARERS) {
            let weight = (own[index] - reference).exp();
            total += weight;
            let place = share + comptime!(index * SHARERS);
            weights[own_weights + row * comptime!(tile.weight_pitch()) + place] =
                F::cast_from(weight);
        }
        sync_plane();

        #[unroll]
        for block in 0..comptime!(tile.keys() / SIDE) {
            let of_block = unsafe {
                Matrix::<F>::uninitialized(MatrixIdent::A, SIDE, SIDE, SIDE, MatrixLayout::RowMajor)
            };
            let from = own_weights + comptime!(block * SIDE);
            cmma::load(
                &of_block,
                &weights.slice(from, comptime!(tile.weights())),
                weight_pitch,
            );
            #[unroll]
            for part in 0..comptime!(tile.value_parts()) {
                let from = comptime!(
                    tile.values_at()
                        + block * SIDE * tile.value_vectors()
                        + part * SIDE / tile.size()
                );
                let values = unsafe {
                    Matrix::<F>::uninitialized(
                        MatrixIdent::B,
                        SIDE,
                        SIDE,
                        SIDE,
                        MatrixLayout::RowMajor,
                    )
                };
                cmma::load(
                    &values,
                    &rows.slice(from, comptime!(tile.row_vectors())),
                    value_pitch,
                );
                cmma::execute::<F, F, f32, f32>(
                    &of_block,
                    &values,
                    sums.index(part),
                    sums.index(part),
                );
            }
        }
        first += comptime!(tile.keys());
    }

    total += plane_shuffle_xor(total, 1u32);
    statistics[0] = reference;
    statistics[1] = total;
    let to = row_start(output, batch, head, own_query);
    #[unroll]
    for part in 0..comptime!(tile.value_parts()) {
        sync_plane();
        cmma::store(
            &mut scores.slice_mut(own_scores, comptime!(tile.scores())),
            sums.index(part),
            score_pitch,
            MatrixLayout::RowMajor,
        );
        sync_plane();
        if mine < queries {
            #[unroll]
            for index in 0..comptime!(SIDE / SHARERS / tile.size()) {
                let place = share * comptime!(SIDE / SHARERS / tile.size()) + index;
                let vector = comptime!(part * SIDE / tile.size()) + place;
                if vector < comptime!(tile.value_width()) {
                    let from = own_scores + row * comptime!(tile.score_pitch()) + place * size;
                    let mut values = Vector::<F, N>::empty();
                    #[unroll]
                    for i in 0..comptime!(tile.size()) {
                        values[i] = F::cast_from(scores[from + i] / total);
                    }
                    output[to + vector] = values;
                }
            }
        }
    }
}

/// Sums that begin at zero.
#[cube]
fn zeros() -> Matrix<f32> {
    Matrix::<f32>::from_value(
        MatrixIdent::Accumulator,
        SIDE,
        SIDE,
        SIDE,
        MatrixLayout::Undefined,
        0.0,
    )
}

/// Brings rows of a head from `first` on to shared memory, the last one in place of later ones,
/// with zeros behind each.
#[cube]
fn bring<F: Float, N: Size>(
    source: &Tensor<Vector<F, N>>,
    held: &mut SharedMemory<Vector<F, N>>,
    batch: usize,
    head: usize,
    first: usize,
    #[comptime] section: Section,
) {
    let start = row_start(source, batch, head, 0);
    let stride = source.stride(2) / source.vector_size();
    let last = source.shape(2) - 1;
    let count = comptime!(section.rows * section.padded);
    #[unroll]
    for turn in 0..comptime!(count.div_ceil(PLANES * PLANE)) {
        let place = UNIT_POS as usize + comptime!(turn * PLANES * PLANE);
        if place < count {
            let row = place / comptime!(section.padded);
            let column = place % comptime!(section.padded);
            let mut values = Vector::<F, N>::zeroed();
            if column < comptime!(section.width) {
                values = source[start + min(first + row, last) * stride + column];
            }
            held[comptime!(section.place) + row * comptime!(section.pitch) + column] = values;
        }
    }
}
