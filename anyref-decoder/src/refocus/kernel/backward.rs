//! Gradients of spans and hidden states, from the sums of
//! [`context_sums`](super::forward::context_sums) and the logarithms of
//! [`span_logs`](super::forward::span_logs), which are recomputed.
//!
//! With `G` the gradient of an object's state, `w_j` its weights, `p_hj` the attention of head `h`,
//! and `l_j` the logarithm of `Σ_h p_hj`, so that `w` is the softmax of `l` over the span:
//!
//! ```text
//! u_j  = λ G·h_j                    of w_j                                   span_dots
//! v_j  = w_j (u_j − Σ_k w_k u_k)    of l_j                                   span_pulls
//! e_hj = v_j p_hj / exp(l_j)        of log p_hj, 0 outside the span
//! s_hj = e_hj − p_hj Σ_k e_hk       of the scores, j over the whole context  backward_attention
//! ```

use cubecl::prelude::*;

use super::forward::span_sum;
use super::reduce::cube_sum;
use super::table::{Entry, entry};
use super::tile::{Rows, Tile, dot_rows};

/// Computes `u_j`, by tiles of the span and objects; `dots` is `[n, stride]`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn span_dots<H: Float, N: Size>(
    gradient: &Tensor<Vector<H, N>>,
    hidden: &Tensor<Vector<H, N>>,
    objects: &Array<u32>,
    dots: &mut Array<f32>,
    stride: usize,
    hidden_offset: usize,
    lambda: f32,
    #[comptime] tile: Tile,
    #[define(H)] _dtype: StorageType,
) {
    let units = comptime!(tile.units);
    let mut partial = SharedMemory::<f32>::new(comptime!(tile.partial()));
    let index = CUBE_POS_Y as usize;
    let object = entry(objects, index);
    let first = object.span_start + CUBE_POS_X as usize * units;
    if first < object.span_end {
        let size = hidden.vector_size();
        let vectors = hidden.shape(2) / size;
        let rows = Rows {
            left: index * vectors,
            left_stride: vectors,
            right: object.row * hidden.stride(0) / size,
            head_stride: hidden.stride(0) / size,
            place_stride: hidden.stride(1) / size,
            group: 1usize.runtime(),
            heads: 1usize.runtime(),
            end: object.span_end - hidden_offset,
            vectors,
        };
        let head = 0usize.runtime();
        let start = first - hidden_offset;
        let dot = dot_rows(
            gradient,
            hidden,
            &rows,
            head,
            start,
            &mut partial,
            tile,
            1usize,
        );
        let place = first + UNIT_POS as usize;
        if place < object.span_end {
            dots[index * stride + place - object.span_start] = dot * lambda;
        }
    }
}

/// Computes `w_j`, and `v_j` in place of `u_j`; one cube for each object.
#[cube(launch, address_type = "dynamic")]
pub(super) fn span_pulls(
    objects: &Array<u32>,
    logs: &Array<f32>,
    weights: &mut Array<f32>,
    pulls: &mut Array<f32>,
    stride: usize,
    #[comptime] tile: Tile,
) {
    let units = comptime!(tile.units);
    let mut shared_tops = SharedMemory::<f32>::new(units);
    let mut shared_sums = SharedMemory::<f32>::new(units);
    let index = CUBE_POS_X as usize;
    let object = entry(objects, index);
    let start = index * stride;
    let length = object.span_end - object.span_start;
    let whole = span_sum(
        logs,
        start,
        length,
        &mut shared_tops,
        &mut shared_sums,
        units,
    );
    let mut mean = f32::new(0.0);
    let mut place = UNIT_POS as usize;
    while place < length {
        let weight = (logs[start + place] - whole.top).exp() / whole.sum;
        weights[start + place] = weight;
        mean += weight * pulls[start + place];
        place += units;
    }
    let mean = cube_sum(mean, &mut shared_sums, units);
    let mut place = UNIT_POS as usize;
    while place < length {
        let weight = (logs[start + place] - whole.top).exp() / whole.sum;
        pulls[start + place] = weight * (pulls[start + place] - mean);
        place += units;
    }
}

/// Computes `e_hj` from the logarithm of `p_hj`.
#[cube]
pub(super) fn share(
    object: &Entry,
    place: usize,
    log: f32,
    start: usize,
    logs: &Array<f32>,
    pulls: &Array<f32>,
) -> f32 {
    let mut share = f32::new(0.0);
    if place >= object.span_start && place < object.span_end {
        let index = start + place - object.span_start;
        share = pulls[index] * (log - logs[index]).exp();
    }
    share
}

/// Gradients of the hidden states; one unit for each vector.
#[cube(launch, address_type = "dynamic")]
pub(super) fn hidden_gradients<H: Float, N: Size>(
    gradient: &Tensor<Vector<H, N>>,
    objects: &Array<u32>,
    order: &Array<u32>,
    weights: &Array<f32>,
    output: &mut Tensor<Vector<H, N>>,
    stride: usize,
    hidden_offset: usize,
    lambda: f32,
    #[define(H)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < output.len() {
        let vectors = output.shape(2) / output.vector_size();
        let length = output.shape(1);
        let vector = ABSOLUTE_POS % vectors;
        let row = ABSOLUTE_POS / vectors / length;
        let position = ABSOLUTE_POS / vectors % length + hidden_offset;
        let mut sum = Vector::<f32, N>::zeroed();
        for place in order[row] as usize..order[row + 1] as usize {
            let index = order[place] as usize;
            let object = entry(objects, index);
            let mut factor = f32::new(0.0);
            if position >= object.span_start && position < object.span_end {
                factor = lambda * weights[index * stride + position - object.span_start];
            }
            if position == object.position {
                factor += 1.0;
            }
            if factor != 0.0 {
                let gradient = Vector::<f32, N>::cast_from(gradient[index * vectors + vector]);
                sum += gradient * Vector::new(factor);
            }
        }
        output[ABSOLUTE_POS] = Vector::cast_from(sum);
    }
}
