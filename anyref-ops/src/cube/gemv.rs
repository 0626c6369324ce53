//! Products of a few rows and several weights, in one launch.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::launching::{address_type, buffer, cubes, type_of, vector_size};
use super::operation::{KernelOperation, TensorType, exactly};
use super::reduce::team_sums;

/// Units of a cube.
const UNITS: usize = 128;
/// Units that read the weights of an output together.
const LANES: usize = 32;
/// Vectors whose loads a unit issues at once.
const TOGETHER: usize = 4;
/// Longest vector that a unit reads.
const VECTOR: usize = 8;

/// Products of one input and several weights.
///
/// Inputs are the rows `x`, `[n, inputs]`, the weights, `[inputs, outputs]` each, of one type, and,
/// if there are any, their biases, `[outputs]` each, in the type of `x`. Weights are read with the
/// inputs of an output in order, and copied if they are not so in memory. Sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gemv {
    /// Combination of the products.
    pub(crate) form: GemvForm,
    /// Whether the weights have biases.
    pub(crate) biased: bool,
    /// Whether negative outputs of one weight become 0.
    pub(crate) clipped: bool,
}

/// Combination of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GemvForm {
    /// Product with one weight.
    One,
    /// Products with three weights, each an output.
    Three,
    /// `silu(first) · second` of the products with two weights of equal shape.
    Gated,
}

impl GemvForm {
    /// Number of weights.
    fn weights(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
            Self::Gated => 2,
        }
    }
}

impl Gemv {
    /// Maximum rows, for which each weight is read once.
    pub(crate) const ROWS: usize = 8;
}

impl KernelOperation for Gemv {
    fn name(&self) -> &'static str {
        "anyref.gemv"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let [rows, _] = inputs[0].dims();
        let weights = match self.form {
            GemvForm::One | GemvForm::Three => &inputs[1..=self.form.weights()],
            GemvForm::Gated => &inputs[1..2],
        };
        let output = |weight: &TensorType| {
            let [_, outputs] = weight.dims();
            TensorType::new([rows, outputs], inputs[0].dtype)
        };
        weights.iter().map(output).collect()
    }

    fn launch<R: CubeRuntime>(self, mut inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        // Weights are transposed here rather than by an operation before the kernel. Fusion joins
        // such an operation with one on a row, `[1, inputs]`, such as the activation before, and
        // the joint kernel of burn 0.21 leaves most of the row out if there are fewer outputs than
        // values in a vector: it is launched once for each vector (burn-cubecl-fusion 0.21.0,
        // `src/optim/elemwise/optimization.rs`, line 101) but counts its places in the vectors of
        // the transposed operand, which are single values (`src/engine/codegen/kernel.rs`, line
        // 160).
        for weight in &mut inputs[1..=self.form.weights()] {
            weight.meta.swap(0, 1);
        }
        let mut inputs: Vec<_> = inputs.into_iter().map(into_contiguous).collect();
        let x = inputs.remove(0);
        let outputs = self.output_types(&types).into_iter();
        let outputs = outputs.map(|output| buffer(&x, output.shape, output.dtype));
        let outputs: Vec<_> = outputs.collect();
        let [rows, columns] = types[0].dims();
        let counts = outputs.iter().map(|output| type_of(output).dims::<2>()[1]);
        let counts: Vec<usize> = counts.collect();
        let whole: usize = counts.iter().sum();
        if rows * whole == 0 {
            return outputs;
        }
        // Missing biases are not read.
        if !self.biased {
            inputs.extend(vec![x.clone(); inputs.len()]);
        }
        let read: Vec<_> = core::iter::once(&x).chain(&inputs).collect();
        let size = vector_size(&read[..1 + inputs.len() / 2], VECTOR);
        let addresses = address_type(&read);
        let (client, dim) = (x.client.clone(), CubeDim::new_1d(UNITS as u32));
        let dtypes = [x.dtype.into(), inputs[0].dtype.into()];
        let at_once = rows.next_power_of_two();
        let count = cubes(whole.div_ceil(UNITS / LANES));
        match self.form {
            GemvForm::One => {
                let [weight, bias] = exactly(inputs);
                one::launch(
                    &client,
                    count,
                    dim,
                    addresses,
                    size,
                    x.into_tensor_arg(),
                    weight.into_tensor_arg(),
                    bias.into_array_arg(),
                    outputs[0].clone().into_array_arg(),
                    rows,
                    whole,
                    columns / size,
                    at_once,
                    self.biased,
                    self.clipped,
                    dtypes,
                );
            }
            GemvForm::Three => {
                let [first, second, third, bias, second_bias, third_bias] = exactly(inputs);
                three::launch(
                    &client,
                    count,
                    dim,
                    addresses,
                    size,
                    x.into_tensor_arg(),
                    first.into_tensor_arg(),
                    second.into_tensor_arg(),
                    third.into_tensor_arg(),
                    bias.into_array_arg(),
                    second_bias.into_array_arg(),
                    third_bias.into_array_arg(),
                    outputs[0].clone().into_array_arg(),
                    outputs[1].clone().into_array_arg(),
                    outputs[2].clone().into_array_arg(),
                    rows,
                    counts[0],
                    counts[1],
                    counts[2],
                    columns / size,
                    at_once,
                    self.biased,
                    dtypes,
                );
            }
            GemvForm::Gated => {
                let [gate, up, gate_bias, up_bias] = exactly(inputs);
                gated::launch(
                    &client,
                    count,
                    dim,
                    addresses,
                    size,
                    x.into_tensor_arg(),
                    gate.into_tensor_arg(),
                    up.into_tensor_arg(),
                    gate_bias.into_array_arg(),
                    up_bias.into_array_arg(),
                    outputs[0].clone().into_array_arg(),
                    rows,
                    whole,
                    columns / size,
                    at_once,
                    self.biased,
                    dtypes,
                );
            }
        }
        outputs
    }
}

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
    let cube = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    cube * comptime!(UNITS / LANES) + UNIT_POS as usize / LANES
}

/// Computes the product with one weight.
#[cube(launch, address_type = "dynamic")]
fn one<F: Float, W: Float, N: Size>(
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
fn three<F: Float, W: Float, N: Size>(
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
fn gated<F: Float, W: Float, N: Size>(
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
