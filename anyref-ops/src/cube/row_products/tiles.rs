//! Kernel for many rows: a cube multiplies a tile of rows and a tile of outputs.

use cubecl::prelude::*;

use super::epilogue::{gelu, write};
use super::form::Form;

/// Units of a cube, each with [`MINE`] rows and as many outputs.
pub(super) const UNITS: usize = LANES * LANES;
/// Groups of rows of a tile, and of outputs.
const LANES: usize = 16;
/// Rows, and outputs, of a unit.
const MINE: usize = 4;
/// Rows, and outputs, of a tile.
pub(super) const SIDE: usize = LANES * MINE;
/// Inputs that are in shared memory at a time.
const DEPTH: usize = 16;
/// Distance of neighbouring inputs in shared memory, which avoids bank conflicts.
const PITCH: usize = LANES + 1;
/// Units that read a row together for its mean and variance.
const READERS: usize = UNITS / SIDE;

/// Values of a unit's rows or outputs.
type Mine = Vector<f32, Const<MINE>>;

/// Sum over a row's values, or over the squares of their distances from a mean.
#[cube]
fn row_sum<F: Float>(
    x: &Tensor<F>,
    partial: &mut SharedMemory<f32>,
    row: usize,
    width: usize,
    mean: f32,
    #[comptime] squares: bool,
) -> f32 {
    let unit = UNIT_POS as usize;
    let mut total = f32::new(0.0);
    let mut place = unit % READERS;
    while place < width {
        let value = f32::cast_from(x[row * width + place]);
        if comptime!(squares) {
            total += (value - mean) * (value - mean);
        } else {
            total += value;
        }
        place += READERS;
    }
    partial[unit] = total;
    sync_cube();
    let mut sum = f32::new(0.0);
    #[unroll]
    for reader in 0..READERS {
        sum += partial[unit / READERS * READERS + reader];
    }
    sync_cube();
    sum
}

/// Values of a unit's rows at one input, normalised, activated and with their positions.
#[cube]
fn inputs<F: Float>(
    x: &Tensor<F>,
    norm: &Sequence<Tensor<F>>,
    places: &Sequence<Tensor<F>>,
    kept: &mut Sequence<Tensor<F>>,
    means: &SharedMemory<f32>,
    scales: &SharedMemory<f32>,
    first: usize,
    group: usize,
    input: usize,
    rows: usize,
    period: usize,
    width: usize,
    placed: bool,
    keeps: bool,
    #[comptime] form: Form,
) -> Mine {
    let mut values = Mine::new(f32::new(0.0));
    if input < width {
        #[unroll]
        for index in 0..MINE {
            let current = first + group * MINE + index;
            let row = min(current, rows - 1);
            let from = row * width + input;
            let mut value = f32::cast_from(x[from]);
            if comptime!(form.normed) {
                let held = group * MINE + index;
                let (gamma, beta) = (norm.index(0usize), norm.index(1usize));
                let (gamma, beta) = (f32::cast_from(gamma[input]), f32::cast_from(beta[input]));
                let normed = (value - means[held]) * scales[held] * gamma + beta;
                // Rounded as normalised rows in memory are.
                let rounded = F::cast_from(normed);
                if comptime!(form.kept) {
                    let kept = kept.index_mut(0usize);
                    if keeps && current < rows {
                        kept[from] = rounded;
                    }
                }
                value = f32::cast_from(rounded);
            }
            if comptime!(form.activated) {
                value = f32::cast_from(F::cast_from(gelu::<f32>(value)));
            }
            if comptime!(form.placed) {
                let places = places.index(0usize);
                if placed {
                    let sum = F::cast_from(value) + places[row % period * width + input];
                    value = f32::cast_from(sum);
                }
            }
            values[index] = value;
        }
    }
    values
}

/// Weights of a unit's outputs at one input.
#[cube]
fn weights_of<W: Float>(
    weight: &Tensor<W>,
    column: usize,
    input: usize,
    width: usize,
    #[comptime] part: usize,
    #[comptime] form: Form,
) -> Mine {
    let outputs = comptime!(form.part(part).outputs);
    let mut values = Mine::new(f32::new(0.0));
    if input < width {
        #[unroll]
        for index in 0..MINE {
            let mut at = min(column + index, outputs - 1);
            if comptime!(form.turns > 1) {
                let each = comptime!(outputs / form.turns);
                at = at % each * comptime!(form.turns) + at / each;
            }
            let at = at + comptime!(form.part(part).first);
            let from = input * weight.stride(0) + at * weight.stride(1);
            values[index] = f32::cast_from(weight[from]);
        }
    }
    values
}

/// Multiplies rows, a cube for a tile of them and of the outputs of a part.
#[cube(launch, address_type = "dynamic")]
pub(super) fn multiply_tiles<F: Float, W: Float>(
    x: &Tensor<F>,
    norm: &Sequence<Tensor<F>>,
    places: &Sequence<Tensor<F>>,
    weights: &Sequence<Tensor<W>>,
    biases: &Sequence<Array<F>>,
    added: &Sequence<Array<F>>,
    kept: &mut Sequence<Tensor<F>>,
    outputs: &mut Sequence<Array<F>>,
    rows: usize,
    period: usize,
    added_rows: usize,
    width: usize,
    epsilon: f32,
    #[comptime] form: Form,
    // Whether the inputs of an output are neighbours in memory.
    #[comptime] by_inputs: bool,
    #[define(F, W)] _dtypes: [StorageType; 2],
) {
    let mut held = SharedMemory::<Mine>::new(comptime!(DEPTH * PITCH));
    let mut held_weights = SharedMemory::<Mine>::new(comptime!(DEPTH * PITCH));
    let moments = comptime!(if form.normed { SIDE } else { 1 });
    let mut means = SharedMemory::<f32>::new(moments);
    let mut scales = SharedMemory::<f32>::new(moments);

    let unit = UNIT_POS as usize;
    let cube = CUBE_POS_X as usize;
    let first = CUBE_POS_Y as usize * SIDE;
    let mut placed = false;
    #[unroll]
    for part in 0..comptime!(form.count) {
        let start = comptime!(form.start(part, SIDE));
        let end = comptime!(form.start(part + 1, SIDE));
        if cube >= start && cube < end {
            placed = comptime!(form.part(part).placed).runtime();
        }
    }
    if comptime!(form.normed) {
        let mut partial = SharedMemory::<f32>::new(UNITS);
        let row = min(first + unit / READERS, rows - 1);
        let reader = unit % READERS;
        let length = f32::cast_from(width as u32);
        let mean = row_sum(x, &mut partial, row, width, 0.0, false) / length;
        let square = row_sum(x, &mut partial, row, width, mean, true) / length;
        if reader == 0 {
            means[unit / READERS] = mean;
            scales[unit / READERS] = 1.0 / (square + epsilon).sqrt();
        }
        sync_cube();
    }

    let (across, down) = (unit % LANES, unit / LANES);
    let mut sums = Array::<Mine>::new(MINE);
    #[unroll]
    for row in 0..MINE {
        sums[row] = Mine::new(f32::new(0.0));
    }
    let mut from = 0usize;
    while from < width {
        let (depth, group) = (unit % DEPTH, unit / DEPTH);
        let values = inputs(
            x,
            norm,
            places,
            kept,
            &means,
            &scales,
            first,
            group,
            from + depth,
            rows,
            period,
            width,
            placed,
            cube == 0,
            form,
        );
        held[depth * PITCH + group] = values;
        let mut depth = unit / LANES;
        let mut group = unit % LANES;
        if comptime!(by_inputs) {
            depth = unit % DEPTH;
            group = unit / DEPTH;
        }
        #[unroll]
        for part in 0..comptime!(form.count) {
            let start = comptime!(form.start(part, SIDE));
            let end = comptime!(form.start(part + 1, SIDE));
            if cube >= start && cube < end {
                let column = (cube - start) * SIDE + group * MINE;
                let weight = weights.index(part);
                let values = weights_of(weight, column, from + depth, width, part, form);
                held_weights[depth * PITCH + group] = values;
            }
        }
        sync_cube();
        for input in 0..DEPTH {
            let values = held[input * PITCH + down];
            let weights = held_weights[input * PITCH + across];
            #[unroll]
            for row in 0..MINE {
                sums[row] = sums[row] + Mine::new(values[row]) * weights;
            }
        }
        sync_cube();
        from += DEPTH;
    }

    #[unroll]
    for part in 0..comptime!(form.count) {
        let start = comptime!(form.start(part, SIDE));
        let end = comptime!(form.start(part + 1, SIDE));
        if cube >= start && cube < end {
            let output = outputs.index_mut(comptime!(form.output(part)));
            #[unroll]
            for index in 0..MINE {
                let row = first + down * MINE + index;
                let mine = sums[index];
                #[unroll]
                for place in 0..MINE {
                    let column = (cube - start) * SIDE + across * MINE + place;
                    if row < rows && column < comptime!(form.part(part).outputs) {
                        write(
                            biases,
                            added,
                            output,
                            mine[place],
                            row,
                            column,
                            added_rows,
                            part,
                            form,
                        );
                    }
                }
            }
        }
    }
}
