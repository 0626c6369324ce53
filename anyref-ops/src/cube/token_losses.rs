//! Cross-entropies of rows of logits, in one launch, and their gradient in another.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

use super::launching::{address_type, buffer, cubes, type_of, vector_size};
use super::masks::LOWEST;
use super::norm::cube_row;
use super::operation::{KernelOperation, TensorType, exactly};
use super::reduce::{cube_max, cube_sum};

/// Units of a cube.
const UNITS: usize = 256;
/// Longest vector that a unit reads.
const VECTOR: usize = 4;

/// Cross-entropy of each row of logits, `[n, classes]`, against the index of its class, `[n]`.
/// Outputs are the losses, `[n]` in f32, and the logarithm of the sum of each row's exponentials,
/// `[n]` in f32, from which the gradient computes the probabilities again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenLosses;

impl KernelOperation for TokenLosses {
    fn name(&self) -> &'static str {
        "anyref.token_losses"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let [rows, _] = inputs[0].dims();
        vec![TensorType::new([rows], DType::F32); 2]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        let outputs = self.output_types(&types);
        let [logits, targets] = exactly::<_, 2>(inputs).map(into_contiguous);
        let [rows, classes] = types[0].dims();
        let output = |index: usize| buffer(&logits, outputs[index].shape.clone(), DType::F32);
        let (losses, logs) = (output(0), output(1));
        if rows * classes == 0 {
            return vec![losses, logs];
        }
        let size = vector_size(&[&logits], VECTOR);
        let vectors = classes / size;
        let units = vectors.next_power_of_two().clamp(32, UNITS);
        let client = logits.client.clone();
        let dtypes = [logits.dtype.into(), targets.dtype.into()];
        row_losses::launch(
            &client,
            cubes(rows),
            CubeDim::new_1d(units as u32),
            address_type(&[&logits]),
            size,
            logits.into_tensor_arg(),
            targets.into_tensor_arg(),
            losses.clone().into_tensor_arg(),
            logs.clone().into_tensor_arg(),
            rows,
            vectors,
            units,
            dtypes,
        );
        vec![losses, logs]
    }
}

/// Gradient of [`TokenLosses`]. Inputs are the logits, `[n, classes]`, the classes, `[n]`, the
/// logarithms of the forward pass, `[n]`, and the gradient of the losses, `[n]`, both in f32; the
/// output has the shape and the type of the logits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenLossesGradient;

impl KernelOperation for TokenLossesGradient {
    fn name(&self) -> &'static str {
        "anyref.token_losses_gradient"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        inputs[..1].to_vec()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [logits, targets, logs, gradient] = exactly::<_, 4>(inputs).map(into_contiguous);
        let [rows, classes] = type_of(&logits).dims();
        let output = buffer(&logits, type_of(&logits).shape, logits.dtype);
        let size = vector_size(&[&logits], VECTOR);
        let vectors = classes / size;
        if rows * vectors == 0 {
            return vec![output];
        }
        let (client, dim) = (logits.client.clone(), CubeDim::new_1d(UNITS as u32));
        let dtypes = [logits.dtype.into(), targets.dtype.into()];
        logit_gradients::launch(
            &client,
            calculate_cube_count_elemwise(&client, rows * vectors, dim),
            dim,
            address_type(&[&logits]),
            size,
            logits.into_tensor_arg(),
            targets.into_tensor_arg(),
            logs.into_tensor_arg(),
            gradient.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            rows,
            vectors,
            dtypes,
        );
        vec![output]
    }
}

/// Losses of rows, a cube each.
#[cube(launch, address_type = "dynamic")]
fn row_losses<F: Float, I: Int, N: Size>(
    logits: &Tensor<Vector<F, N>>,
    targets: &Tensor<I>,
    losses: &mut Tensor<f32>,
    logs: &mut Tensor<f32>,
    rows: usize,
    vectors: usize,
    #[comptime] units: usize,
    #[define(F, I)] _dtypes: [StorageType; 2],
) {
    let size = logits.vector_size();
    let mut partial = SharedMemory::<f32>::new(units);
    let row = cube_row(rows);
    let start = row * vectors;
    let mut top = f32::new(LOWEST * 10.0);
    let mut place = UNIT_POS as usize;
    while place < vectors {
        let values = Vector::<f32, N>::cast_from(logits[start + place]);
        #[unroll]
        for i in 0..size {
            top = max(top, values[i]);
        }
        place += units;
    }
    let top = cube_max(top, &mut partial, units);
    // The unit that reads the target's logit adds it, the others nothing.
    let target = usize::cast_from(targets[row]);
    let mut sum = f32::new(0.0);
    let mut chosen = f32::new(0.0);
    let mut place = UNIT_POS as usize;
    while place < vectors {
        let values = Vector::<f32, N>::cast_from(logits[start + place]);
        #[unroll]
        for i in 0..size {
            sum += (values[i] - top).exp();
            if place * size + i == target {
                chosen += values[i];
            }
        }
        place += units;
    }
    let sum = cube_sum(sum, &mut partial, units);
    let chosen = cube_sum(chosen, &mut partial, units);
    if UNIT_POS == 0 {
        let log = top + sum.ln();
        logs[row] = log;
        losses[row] = log - chosen;
    }
}

/// Computes a vector of gradients a unit.
#[cube(launch, address_type = "dynamic")]
fn logit_gradients<F: Float, I: Int, N: Size>(
    logits: &Tensor<Vector<F, N>>,
    targets: &Tensor<I>,
    logs: &Tensor<f32>,
    gradient: &Tensor<f32>,
    output: &mut Tensor<Vector<F, N>>,
    rows: usize,
    vectors: usize,
    #[define(F, I)] _dtypes: [StorageType; 2],
) {
    if ABSOLUTE_POS < rows * vectors {
        let size = logits.vector_size();
        let row = ABSOLUTE_POS / vectors;
        let first = ABSOLUTE_POS % vectors * size;
        let target = usize::cast_from(targets[row]);
        let (log, pull) = (logs[row], gradient[row]);
        let values = Vector::<f32, N>::cast_from(logits[ABSOLUTE_POS]);
        let mut found = Vector::<f32, N>::zeroed();
        #[unroll]
        for i in 0..size {
            let mut share = (values[i] - log).exp();
            if first + i == target {
                share -= 1.0;
            }
            found[i] = share * pull;
        }
        output[ABSOLUTE_POS] = Vector::cast_from(found);
    }
}
