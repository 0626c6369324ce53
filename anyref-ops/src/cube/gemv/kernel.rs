//! Kernels of products of a few rows: a team of units reads the weights of an output.

use cubecl::prelude::*;

use crate::cube::launching::cube_index;

use crate::cube::reduce::team_sums;

/// Units of a cube.
pub(super) const UNITS: usize = 128;
/// Units that read the weights of an output together.
pub(super) const LANES: usize = 32;
/// Vectors whose loads a unit issues at once.
const TOGETHER: usize = 4;

/// Adds the products of a vector of an output's weights and each row.
#[cube]
fn add_vector<F: Float, W: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    weight: &Tensor<Vector<W, N>>,
    sums: &mut Array<f32>,
    output: usize,
    place: usize,
    rows: usize,
    vectors: usize,
    #[comptime] at_once: usize,
) {
    let size = x.vector_size();
    let weights = Vector::<f32, N>::cast_from(weight[output * vectors + place]);
    #[unroll]
    for row in 0..at_once {
        let inputs = Vector::<f32, N>::cast_from(x[min(row, rows - 1) * vectors + place]);
        let mut sum = sums[row];
        #[unroll]
        for i in 0..size {
            sum += inputs[i] * weights[i];
        }
        sums[row] = sum;
    }
}

/// Adds the products of a unit's share of an output's weights and each row.
#[cube]
fn add_products<F: Float, W: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    weight: &Tensor<Vector<W, N>>,
    sums: &mut Array<f32>,
    output: usize,
    rows: usize,
    vectors: usize,
    #[comptime] at_once: usize,
) {
    let mut place = UNIT_POS as usize % LANES;
    // Several loads are in flight at once.
    while place + comptime!((TOGETHER - 1) * LANES) < vectors {
        #[unroll]
        for more in 0..TOGETHER {
            let place = place + more * LANES;
            add_vector(x, weight, sums, output, place, rows, vectors, at_once);
        }
        place += comptime!(TOGETHER * LANES);
    }
    while place < vectors {
        add_vector(x, weight, sums, output, place, rows, vectors, at_once);
        place += LANES;
    }
}

#[cube]
fn zeros(#[comptime] count: usize) -> Array<f32> {
    let mut sums = Array::<f32>::new(count);
    #[unroll]
    for index in 0..count {
        sums[index] = f32::new(0.0);
    }
    sums
}

/// Writes an output of each row.
#[cube]
fn write<F: Float>(
    sums: &Array<f32>,
    bias: &Array<F>,
    output: &mut Array<F>,
    column: usize,
    rows: usize,
    outputs: usize,
    #[comptime] at_once: usize,
    #[comptime] biased: bool,
    #[comptime] clipped: bool,
) {
    #[unroll]
    for row in 0..at_once {
        if row < rows {
            let mut sum = sums[row];
            if comptime!(biased) {
                sum += f32::cast_from(bias[column]);
            }
            if comptime!(clipped) {
                sum = max(sum, 0.0);
            }
            output[row * outputs + column] = F::cast_from(sum);
        }
    }
}

/// Output of a team of [`LANES`] units, over cubes of two axes.
#[cube]
fn team_output() -> usize {
    let cube = cube_index();
    cube * comptime!(UNITS / LANES) + UNIT_POS as usize / LANES
}

/// Computes the product with one weight.
#[cube(launch, address_type = "dynamic")]
pub(super) fn one<F: Float, W: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    weight: &Tensor<Vector<W, N>>,
    bias: &Array<F>,
    output: &mut Array<F>,
    rows: usize,
    outputs: usize,
    vectors: usize,
    #[comptime] at_once: usize,
    #[comptime] biased: bool,
    #[comptime] clipped: bool,
    #[define(F, W)] _dtypes: [StorageType; 2],
) {
    let mut partial = SharedMemory::<f32>::new(comptime!(UNITS * at_once));
    let column = team_output();
    let mut sums = zeros(at_once);
    if column < outputs {
        add_products(x, weight, &mut sums, column, rows, vectors, at_once);
    }
    team_sums(&mut sums, &mut partial, at_once, UNITS, LANES);
    let lane = UNIT_POS as usize % LANES;
    if lane == 0 && column < outputs {
        write(
            &sums, bias, output, column, rows, outputs, at_once, biased, clipped,
        );
    }
}

/// Computes the products with three weights.
#[cube(launch, address_type = "dynamic")]
pub(super) fn three<F: Float, W: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    first: &Tensor<Vector<W, N>>,
    second: &Tensor<Vector<W, N>>,
    third: &Tensor<Vector<W, N>>,
    first_bias: &Array<F>,
    second_bias: &Array<F>,
    third_bias: &Array<F>,
    first_output: &mut Array<F>,
    second_output: &mut Array<F>,
    third_output: &mut Array<F>,
    rows: usize,
    first_count: usize,
    second_count: usize,
    third_count: usize,
    vectors: usize,
    #[comptime] at_once: usize,
    #[comptime] biased: bool,
    #[define(F, W)] _dtypes: [StorageType; 2],
) {
    let mut partial = SharedMemory::<f32>::new(comptime!(UNITS * at_once));
    let output = team_output();
    let mut sums = zeros(at_once);
    let third_start = first_count + second_count;
    if output < first_count {
        add_products(x, first, &mut sums, output, rows, vectors, at_once);
    } else if output < third_start {
        let output = output - first_count;
        add_products(x, second, &mut sums, output, rows, vectors, at_once);
    } else if output < third_start + third_count {
        let output = output - third_start;
        add_products(x, third, &mut sums, output, rows, vectors, at_once);
    }
    team_sums(&mut sums, &mut partial, at_once, UNITS, LANES);
    let lane = UNIT_POS as usize % LANES;
    if lane == 0 {
        if output < first_count {
            write(
                &sums,
                first_bias,
                first_output,
                output,
                rows,
                first_count,
                at_once,
                biased,
                false,
            );
        } else if output < third_start {
            let output = output - first_count;
            write(
                &sums,
                second_bias,
                second_output,
                output,
                rows,
                second_count,
                at_once,
                biased,
                false,
            );
        } else if output < third_start + third_count {
            let output = output - third_start;
            write(
                &sums,
                third_bias,
                third_output,
                output,
                rows,
                third_count,
                at_once,
                biased,
                false,
            );
        }
    }
}

/// Computes `silu(gate) · up` of the products with two weights.
#[cube(launch, address_type = "dynamic")]
pub(super) fn gated<F: Float, W: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    gate: &Tensor<Vector<W, N>>,
    up: &Tensor<Vector<W, N>>,
    gate_bias: &Array<F>,
    up_bias: &Array<F>,
    output: &mut Array<F>,
    rows: usize,
    outputs: usize,
    vectors: usize,
    #[comptime] at_once: usize,
    #[comptime] biased: bool,
    #[define(F, W)] _dtypes: [StorageType; 2],
) {
    let mut partial = SharedMemory::<f32>::new(comptime!(UNITS * at_once));
    let column = team_output();
    let mut gates = zeros(at_once);
    let mut ups = zeros(at_once);
    if column < outputs {
        add_products(x, gate, &mut gates, column, rows, vectors, at_once);
        add_products(x, up, &mut ups, column, rows, vectors, at_once);
    }
    team_sums(&mut gates, &mut partial, at_once, UNITS, LANES);
    team_sums(&mut ups, &mut partial, at_once, UNITS, LANES);
    let lane = UNIT_POS as usize % LANES;
    if lane == 0 && column < outputs {
        #[unroll]
        for row in 0..at_once {
            if row < rows {
                let mut gate = gates[row];
                let mut up = ups[row];
                if comptime!(biased) {
                    gate += f32::cast_from(gate_bias[column]);
                    up += f32::cast_from(up_bias[column]);
                }
                let silu = gate / (1.0 + (-gate).exp());
                output[row * outputs + column] = F::cast_from(silu * up);
            }
        }
    }
}
