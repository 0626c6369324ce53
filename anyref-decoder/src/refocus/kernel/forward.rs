//! Forward passes: sums of each head's softmax by chunk and in total, logarithms of the span's
//! weights, weighted states.

use cubecl::prelude::*;

use super::reduce::{ExpSum, LOWEST, add_exp, cube_exp_sum};
use super::table::entry;
use super::tile::{Tile, attention_rows, dot_rows};

/// States or logarithms that a unit loads before it uses the first of them.
const TOGETHER: usize = 8;

/// Sum of a head's exponentials over a chunk of an object's context.
///
/// Cubes are chunks, heads and objects; `tops` and `sums` are `[n, heads, chunks]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn context_sums<Q: Float, K: Float, N: Size>(
    query: &Tensor<Vector<Q, N>>,
    key: &Tensor<Vector<K, N>>,
    objects: &Array<u32>,
    tops: &mut Array<f32>,
    sums: &mut Array<f32>,
    chunk: usize,
    scale: f32,
    #[comptime] tile: Tile,
    #[define(Q, K)] _dtypes: [StorageType; 2],
) {
    let units = comptime!(tile.units);
    let mut partial = SharedMemory::<f32>::new(comptime!(tile.partial()));
    let mut shared_tops = SharedMemory::<f32>::new(units);
    let mut shared_sums = SharedMemory::<f32>::new(units);
    let split = CUBE_POS_X as usize;
    let head = CUBE_POS_Y as usize;
    let index = CUBE_POS_Z as usize;
    let object = entry(objects, index);
    let start = max(split * chunk, object.context_start);
    let end = min((split + 1) * chunk, object.context_end);
    let rows = attention_rows(query, key, index, object.row, end);

    let mut top = f32::new(LOWEST);
    let mut sum = f32::new(0.0);
    let mut first = start;
    while first < end {
        let score = dot_rows(query, key, &rows, head, first, &mut partial, tile, 1usize) * scale;
        if first + (UNIT_POS as usize) < end {
            let more = add_log(ExpSum { top, sum }, score);
            top = more.top;
            sum = more.sum;
        }
        first += units;
    }
    let whole = cube_exp_sum(
        ExpSum { top, sum },
        &mut shared_tops,
        &mut shared_sums,
        units,
    );
    if UNIT_POS == 0 {
        let place = (index * rows.heads + head) * (CUBE_COUNT_X as usize) + split;
        tops[place] = whole.top;
        sums[place] = whole.sum;
    }
}

/// Sum of each head over all chunks of the context, stored as a logarithm.
///
/// One unit for each head of all objects; `tops` and `sums` are `[n, heads]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn head_sums(
    chunk_tops: &Array<f32>,
    chunk_sums: &Array<f32>,
    tops: &mut Array<f32>,
    sums: &mut Array<f32>,
    chunks: usize,
) {
    if ABSOLUTE_POS < tops.len() {
        let mut top = f32::new(LOWEST);
        let mut sum = f32::new(0.0);
        for chunk in 0..chunks {
            let place = ABSOLUTE_POS * chunks + chunk;
            let more = add_exp(
                ExpSum { top, sum },
                ExpSum {
                    top: chunk_tops[place],
                    sum: chunk_sums[place],
                },
            );
            top = more.top;
            sum = more.sum;
        }
        tops[ABSOLUTE_POS] = top;
        sums[ABSOLUTE_POS] = sum.ln();
    }
}

/// Logarithm of the sum over heads of the attention to each position of a span.
///
/// Cubes are tiles of the span and objects; `logs` is `[n, stride]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn span_logs<Q: Float, K: Float, N: Size>(
    query: &Tensor<Vector<Q, N>>,
    key: &Tensor<Vector<K, N>>,
    objects: &Array<u32>,
    tops: &Array<f32>,
    sums: &Array<f32>,
    logs: &mut Array<f32>,
    stride: usize,
    scale: f32,
    #[comptime] tile: Tile,
    #[comptime] abreast: usize,
    #[define(Q, K)] _dtypes: [StorageType; 2],
) {
    let units = comptime!(tile.units);
    let places = comptime!(tile.units / abreast);
    let mut partial = SharedMemory::<f32>::new(comptime!(tile.partial()));
    let mut shared_tops = SharedMemory::<f32>::new(units);
    let mut shared_sums = SharedMemory::<f32>::new(units);
    let unit = UNIT_POS as usize;
    let index = CUBE_POS_Y as usize;
    let object = entry(objects, index);
    let first = object.span_start + CUBE_POS_X as usize * places;
    let place = first + unit / abreast;
    let rows = attention_rows(query, key, index, object.row, object.span_end);

    if first < object.span_end {
        let mut top = f32::new(LOWEST);
        let mut sum = f32::new(0.0);
        let mut first_head = 0usize;
        while first_head < rows.heads {
            let score = dot_rows(
                query,
                key,
                &rows,
                first_head,
                first,
                &mut partial,
                tile,
                abreast,
            ) * scale;
            let head = first_head + unit % abreast;
            if head < rows.heads {
                let whole = index * rows.heads + head;
                let log = score - tops[whole] - sums[whole];
                let more = add_log(ExpSum { top, sum }, log);
                top = more.top;
                sum = more.sum;
            }
            first_head += abreast;
        }
        shared_tops[unit] = top;
        shared_sums[unit] = sum;
        sync_cube();
        let turn = unit % abreast;
        if turn == 0 && place < object.span_end {
            for other in 1..abreast {
                let more = add_exp(
                    ExpSum { top, sum },
                    ExpSum {
                        top: shared_tops[unit + other],
                        sum: shared_sums[unit + other],
                    },
                );
                top = more.top;
                sum = more.sum;
            }
            logs[index * stride + place - object.span_start] = top + sum.ln();
        }
    }
}

/// Adds the exponential of a logarithm to a sum.
#[cube]
fn add_log(sum: ExpSum, log: f32) -> ExpSum {
    add_exp(
        sum,
        ExpSum {
            top: log,
            sum: f32::new(1.0),
        },
    )
}

/// Sum of the exponentials of an object's logarithms.
#[cube]
pub(super) fn span_sum(
    logs: &Array<f32>,
    start: usize,
    length: usize,
    tops: &mut SharedMemory<f32>,
    sums: &mut SharedMemory<f32>,
    #[comptime] units: usize,
) -> ExpSum {
    let mut top = f32::new(LOWEST);
    let mut sum = f32::new(0.0);
    let mut place = start + UNIT_POS as usize;
    let end = start + length;
    // Several loads of logarithms are in flight at once.
    while place + comptime!((TOGETHER - 1) * units) < end {
        #[unroll]
        for more in 0..TOGETHER {
            let more = add_log(ExpSum { top, sum }, logs[place + more * units]);
            top = more.top;
            sum = more.sum;
        }
        place += comptime!(TOGETHER * units);
    }
    while place < end {
        let more = add_log(ExpSum { top, sum }, logs[place]);
        top = more.top;
        sum = more.sum;
        place += units;
    }
    cube_exp_sum(ExpSum { top, sum }, tops, sums, units)
}

/// State times the exponential of a logarithm.
#[cube]
fn weighted<H: Float, N: Size>(
    hidden: &Tensor<Vector<H, N>>,
    at: usize,
    log: f32,
) -> Vector<f32, N> {
    Vector::<f32, N>::cast_from(hidden[at]) * Vector::new(log.exp())
}

/// Adds λ times the weighted mean of its span to each state.
///
/// Cubes are groups of `tile.lanes` columns and objects; `output` is `[n, h]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn add_spans<H: Float, N: Size>(
    hidden: &Tensor<Vector<H, N>>,
    objects: &Array<u32>,
    logs: &Array<f32>,
    output: &mut Tensor<Vector<H, N>>,
    stride: usize,
    hidden_offset: usize,
    lambda: f32,
    #[comptime] tile: Tile,
    #[define(H)] _dtype: StorageType,
) {
    let units = comptime!(tile.units);
    let lanes = comptime!(tile.lanes);
    let teams = comptime!(tile.teams());
    let mut shared_tops = SharedMemory::<f32>::new(units);
    let mut shared_sums = SharedMemory::<f32>::new(units);
    let mut sums = SharedMemory::<Vector<f32, N>>::new(units);
    let unit = UNIT_POS as usize;
    let index = CUBE_POS_Y as usize;
    let object = entry(objects, index);
    let length = object.span_end - object.span_start;
    let whole = span_sum(
        logs,
        index * stride,
        length,
        &mut shared_tops,
        &mut shared_sums,
        units,
    );

    let size = hidden.vector_size();
    let vectors = hidden.shape(2) / size;
    let place_stride = hidden.stride(1) / size;
    let lane = unit % lanes;
    let team = unit / lanes;
    let column = CUBE_POS_X as usize * lanes + lane;
    let row = object.row * hidden.stride(0) / size + column;
    let mut mine = Vector::<f32, N>::zeroed();
    if column < vectors {
        let first = row + (object.span_start - hidden_offset) * place_stride;
        let mut place = team;
        // Several loads of states are in flight at once.
        while place + comptime!((TOGETHER - 1) * teams) < length {
            #[unroll]
            for more in 0..TOGETHER {
                let place = place + more * teams;
                let log = logs[index * stride + place] - whole.top;
                mine += weighted(hidden, first + place * place_stride, log);
            }
            place += comptime!(TOGETHER * teams);
        }
        while place < length {
            let log = logs[index * stride + place] - whole.top;
            mine += weighted(hidden, first + place * place_stride, log);
            place += teams;
        }
    }
    sums[unit] = mine;
    sync_cube();
    if team == 0 && column < vectors {
        let mut factor = f32::new(0.0);
        if length > 0 {
            factor = lambda / whole.sum;
        }
        let mut sum = Vector::<f32, N>::zeroed();
        for other in 0..teams {
            sum += sums[other * lanes + lane];
        }
        let position = object.position - hidden_offset;
        let state = Vector::<f32, N>::cast_from(hidden[row + position * place_stride]);
        output[index * vectors + column] = Vector::cast_from(state + sum * Vector::new(factor));
    }
}
