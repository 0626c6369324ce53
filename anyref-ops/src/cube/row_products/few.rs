//! Kernel for a few rows: a team of units reads the weights of an output.

use cubecl::prelude::*;

use super::epilogue::write;
use super::form::Form;
use crate::cube::reduce::{team_sums, team_totals};

/// Units of a cube.
pub(super) const UNITS: usize = 128;
/// Units that read the weights of an output, or a row, together.
const LANES: usize = 32;
/// Outputs of a cube.
pub(super) const TEAMS: usize = UNITS / LANES;
/// Most rows of a cube.
const ROWS: usize = 8;
/// Most bytes of shared memory.
const MOST_BYTES: usize = 32 * 1024;

/// Whether rows are prepared in shared memory before they are multiplied.
pub(super) fn is_staged(form: &Form) -> bool {
    form.normed || form.placed
}

/// Rows of a cube, for which its shared memory fits into that of a device; `None` if one is too
/// many.
pub(super) fn rows_at_once(
    form: &Form,
    rows: usize,
    width: usize,
    available: usize,
) -> Option<usize> {
    let most = rows.next_power_of_two().min(ROWS);
    let bytes = |rows: usize| {
        let staged = if is_staged(form) { width } else { 0 };
        4 * rows * (UNITS + staged)
    };
    let sizes = [8, 4, 2, 1].into_iter().filter(|&size| size <= most);
    let mut fitting = sizes.filter(|&size| bytes(size) <= available.min(MOST_BYTES));
    fitting.next()
}

/// Brings rows to shared memory, normalised and with their positions, a team a row.
#[cube]
fn stage<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    norm: &Sequence<Tensor<Vector<F, N>>>,
    places: &Sequence<Tensor<Vector<F, N>>>,
    kept: &mut Sequence<Tensor<Vector<F, N>>>,
    states: &mut SharedMemory<Vector<f32, N>>,
    partial: &mut SharedMemory<f32>,
    first: usize,
    rows: usize,
    taken: usize,
    placed: bool,
    keeps: bool,
    period: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] form: Form,
    #[comptime] at_once: usize,
) {
    let size = x.vector_size();
    let lane = UNIT_POS as usize % LANES;
    let team = UNIT_POS as usize / LANES;
    let turns = comptime!(at_once.div_ceil(TEAMS));
    let length = f32::cast_from((vectors * size) as u32);
    let mut means = Array::<f32>::new(turns);
    let mut scales = Array::<f32>::new(turns);
    if comptime!(form.normed) {
        #[unroll]
        for turn in 0..turns {
            let row = min(first + turn * TEAMS + team, rows - 1) * comptime!(form.group) + taken;
            let mut total = f32::new(0.0);
            let mut place = lane;
            while place < vectors {
                let values = Vector::<f32, N>::cast_from(x[row * vectors + place]);
                #[unroll]
                for i in 0..size {
                    total += values[i];
                }
                place += LANES;
            }
            means[turn] = total;
        }
        team_totals(&mut means, partial, turns, UNITS, LANES);
        #[unroll]
        for turn in 0..turns {
            means[turn] = means[turn] / length;
            let mean = means[turn];
            let row = min(first + turn * TEAMS + team, rows - 1) * comptime!(form.group) + taken;
            let mut total = f32::new(0.0);
            let mut place = lane;
            while place < vectors {
                let values = Vector::<f32, N>::cast_from(x[row * vectors + place]);
                #[unroll]
                for i in 0..size {
                    let value = values[i] - mean;
                    total += value * value;
                }
                place += LANES;
            }
            scales[turn] = total;
        }
        team_totals(&mut scales, partial, turns, UNITS, LANES);
        #[unroll]
        for turn in 0..turns {
            scales[turn] = 1.0 / (scales[turn] / length + epsilon).sqrt();
        }
    }
    #[unroll]
    for turn in 0..turns {
        let index = turn * TEAMS + team;
        let row = min(first + index, rows - 1) * comptime!(form.group) + taken;
        let mut place = lane;
        while place < vectors {
            let mut values = Vector::<f32, N>::cast_from(x[row * vectors + place]);
            if comptime!(form.normed) {
                let (gamma, beta) = (norm.index(0usize), norm.index(1usize));
                let gammas = Vector::<f32, N>::cast_from(gamma[place]);
                let betas = Vector::<f32, N>::cast_from(beta[place]);
                let (mean, scale) = (means[turn], scales[turn]);
                let mut normed = Vector::<f32, N>::zeroed();
                #[unroll]
                for i in 0..size {
                    normed[i] = (values[i] - mean) * scale * gammas[i] + betas[i];
                }
                // Rounded as normalised rows in memory are.
                let rounded = Vector::<F, N>::cast_from(normed);
                if comptime!(form.kept) {
                    let kept = kept.index_mut(0usize);
                    if keeps && first + index < rows {
                        kept[row * vectors + place] = rounded;
                    }
                }
                values = Vector::<f32, N>::cast_from(rounded);
            }
            if comptime!(form.placed) {
                let places = places.index(0usize);
                if placed {
                    let added = places[row % period * vectors + place];
                    let sum = Vector::<F, N>::cast_from(values) + added;
                    values = Vector::<f32, N>::cast_from(sum);
                }
            }
            if index < at_once {
                states[index * vectors + place] = values;
            }
            place += LANES;
        }
    }
    sync_cube();
}

/// Adds the products of a unit's share of an output's weights and each row.
#[cube]
fn add_products<F: Float, W: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    states: &SharedMemory<Vector<f32, N>>,
    weight: &Tensor<Vector<W, N>>,
    sums: &mut Array<f32>,
    column: usize,
    first: usize,
    rows: usize,
    taken: usize,
    vectors: usize,
    #[comptime] form: Form,
    #[comptime] at_once: usize,
) {
    let size = x.vector_size();
    let mut place = UNIT_POS as usize % LANES;
    while place < vectors {
        let weights = Vector::<f32, N>::cast_from(weight[column * vectors + place]);
        #[unroll]
        for row in 0..at_once {
            let inputs = if comptime!(is_staged(&form)) {
                states[row * vectors + place]
            } else {
                let from = min(first + row, rows - 1) * comptime!(form.group) + taken;
                Vector::<f32, N>::cast_from(x[from * vectors + place])
            };
            let mut sum = sums[row];
            #[unroll]
            for i in 0..size {
                sum += inputs[i] * weights[i];
            }
            sums[row] = sum;
        }
        place += LANES;
    }
}

/// Multiplies rows, a cube for [`TEAMS`] outputs of a part and some rows.
#[cube(launch, address_type = "dynamic")]
pub(super) fn multiply_few<F: Float, W: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    norm: &Sequence<Tensor<Vector<F, N>>>,
    places: &Sequence<Tensor<Vector<F, N>>>,
    weights: &Sequence<Tensor<Vector<W, N>>>,
    biases: &Sequence<Array<F>>,
    added: &Sequence<Array<F>>,
    kept: &mut Sequence<Tensor<Vector<F, N>>>,
    outputs: &mut Sequence<Array<F>>,
    rows: usize,
    period: usize,
    added_rows: usize,
    epsilon: f32,
    #[comptime] form: Form,
    #[comptime] at_once: usize,
    #[comptime] vectors: usize,
    #[define(F, W)] _dtypes: [StorageType; 2],
) {
    let cube = CUBE_POS_X as usize;
    let first = CUBE_POS_Y as usize * at_once;
    let team = UNIT_POS as usize / LANES;
    let held = comptime!(if is_staged(&form) {
        at_once * vectors
    } else {
        1
    });
    let mut states = SharedMemory::<Vector<f32, N>>::new(held);
    let mut partial = SharedMemory::<f32>::new(comptime!(UNITS * at_once));

    let mut taken = 0usize;
    let mut placed = false;
    #[unroll]
    for part in 0..comptime!(form.count) {
        let start = comptime!(form.start(part, TEAMS));
        let end = comptime!(form.start(part + 1, TEAMS));
        if cube >= start && cube < end {
            taken = comptime!(form.part(part).row).runtime();
            placed = comptime!(form.part(part).placed).runtime();
        }
    }
    if comptime!(is_staged(&form)) {
        stage(
            x,
            norm,
            places,
            kept,
            &mut states,
            &mut partial,
            first,
            rows,
            taken,
            placed,
            cube == 0,
            period,
            vectors,
            epsilon,
            form,
            at_once,
        );
    }

    let mut sums = Array::<f32>::new(at_once);
    #[unroll]
    for row in 0..at_once {
        sums[row] = f32::new(0.0);
    }
    #[unroll]
    for part in 0..comptime!(form.count) {
        let start = comptime!(form.start(part, TEAMS));
        let end = comptime!(form.start(part + 1, TEAMS));
        if cube >= start && cube < end {
            let last = comptime!(form.part(part).outputs - 1);
            let column = min((cube - start) * TEAMS + team, last);
            add_products(
                x,
                &states,
                weights.index(part),
                &mut sums,
                column + comptime!(form.part(part).first),
                first,
                rows,
                taken,
                vectors,
                form,
                at_once,
            );
        }
    }
    team_sums(&mut sums, &mut partial, at_once, UNITS, LANES);
    let lane = UNIT_POS as usize % LANES;
    #[unroll]
    for part in 0..comptime!(form.count) {
        let start = comptime!(form.start(part, TEAMS));
        let end = comptime!(form.start(part + 1, TEAMS));
        if lane == 0 && cube >= start && cube < end {
            let column = (cube - start) * TEAMS + team;
            let output = outputs.index_mut(comptime!(form.output(part)));
            #[unroll]
            for row in 0..at_once {
                if column < comptime!(form.part(part).outputs) && first + row < rows {
                    write(
                        biases,
                        added,
                        output,
                        sums[row],
                        first + row,
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
