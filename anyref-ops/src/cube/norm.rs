//! Normalisations over the last dimension, in one launch.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::launching::{address_type, buffer, cube_index, cubes, type_of, vector_size};
use super::operation::{KernelOperation, TensorType, exactly};
use super::reduce::cube_sum;

/// Longest vector that a unit reads.
pub(super) const VECTOR: usize = 8;
/// Maximum units of a cube.
pub(super) const UNITS: usize = 256;

/// Normalisation of rows.
///
/// Inputs are the rows `x`, `[n, d]`, a second summand of the same shape if there is one, the
/// scale, `[d]`, and the shift, `[d]`, if there is one, all of one type. Outputs are the sum, if
/// there is a second summand, and the normalised rows. Values are f32 in the kernel, except for the
/// sum, which is rounded before it is normalised.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm {
    /// Subtracts the mean first, as a layer norm does and an RMS norm does not.
    pub(crate) centred: bool,
    /// Adds a second summand.
    pub(crate) added: bool,
    /// Adds a shift.
    pub(crate) shifted: bool,
    /// Addend of the mean square.
    pub(crate) epsilon: f64,
}

impl KernelOperation for Norm {
    fn name(&self) -> &'static str {
        "anyref.norm"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        vec![inputs[0].clone(); 1 + usize::from(self.added)]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let mut inputs: Vec<_> = inputs.into_iter().map(into_contiguous).collect();
        // A missing shift is not read.
        if !self.shifted {
            inputs.extend(inputs.last().cloned());
        }
        let added = self.added.then(|| inputs.remove(1));
        let [x, gamma, beta] = exactly(inputs);
        let [rows, width] = type_of(&x).dims();
        let output = buffer(&x, x.meta.shape().clone(), x.dtype);
        if rows * width == 0 {
            return vec![output; 1 + usize::from(self.added)];
        }
        let size = vector_size(&[&x, &gamma], VECTOR);
        let vectors = width / size;
        let units = vectors.next_power_of_two().clamp(32, UNITS);
        let (client, dtype) = (x.client.clone(), x.dtype.into());
        let addresses = address_type(&[&x]);
        let (count, dim) = (cubes(rows), CubeDim::new_1d(units as u32));
        let Some(added) = added else {
            norm_rows::launch(
                &client,
                count,
                dim,
                addresses,
                size,
                x.into_tensor_arg(),
                gamma.into_tensor_arg(),
                beta.into_tensor_arg(),
                output.clone().into_tensor_arg(),
                rows,
                vectors,
                self.epsilon as f32,
                self.centred,
                self.shifted,
                units,
                dtype,
            );
            return vec![output];
        };
        let sum = buffer(&x, x.meta.shape().clone(), x.dtype);
        add_norm_rows::launch(
            &client,
            count,
            dim,
            addresses,
            size,
            x.into_tensor_arg(),
            added.into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            sum.clone().into_tensor_arg(),
            output.clone().into_tensor_arg(),
            rows,
            vectors,
            self.epsilon as f32,
            self.centred,
            self.shifted,
            units,
            dtype,
        );
        vec![sum, output]
    }
}

/// Row of a cube; those after the last one compute it again.
#[cube]
pub(super) fn cube_row(rows: usize) -> usize {
    let cube = cube_index();
    min(cube, rows - 1)
}

/// Mean of a row's values, or of their squares after a mean is subtracted.
#[cube]
fn row_mean<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    start: usize,
    vectors: usize,
    mean: f32,
    partial: &mut SharedMemory<f32>,
    #[comptime] squares: bool,
    #[comptime] units: usize,
) -> f32 {
    let size = x.vector_size();
    let mut total = f32::new(0.0);
    let mut place = UNIT_POS as usize;
    while place < vectors {
        let values = Vector::<f32, N>::cast_from(x[start + place]);
        #[unroll]
        for i in 0..size {
            if comptime!(squares) {
                let value = values[i] - mean;
                total += value * value;
            } else {
                total += values[i];
            }
        }
        place += units;
    }
    cube_sum(total, partial, units) / f32::cast_from((vectors * size) as u32)
}

/// Writes a normalised row.
#[cube]
pub(super) fn write_row<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    gamma: &Tensor<Vector<F, N>>,
    beta: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    start: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] centred: bool,
    #[comptime] shifted: bool,
    #[comptime] units: usize,
) {
    let mut partial = SharedMemory::<f32>::new(units);
    let size = x.vector_size();
    let mut mean = f32::new(0.0);
    if comptime!(centred) {
        mean = row_mean(x, start, vectors, mean, &mut partial, false, units);
    }
    let square = row_mean(x, start, vectors, mean, &mut partial, true, units);
    let scale = 1.0 / (square + epsilon).sqrt();
    let mut place = UNIT_POS as usize;
    while place < vectors {
        let values = Vector::<f32, N>::cast_from(x[start + place]);
        let gammas = Vector::<f32, N>::cast_from(gamma[place]);
        let betas = Vector::<f32, N>::cast_from(beta[place]);
        let mut normed = Vector::<f32, N>::zeroed();
        #[unroll]
        for i in 0..size {
            let value = (values[i] - mean) * scale * gammas[i];
            if comptime!(shifted) {
                normed[i] = value + betas[i];
            } else {
                normed[i] = value;
            }
        }
        output[start + place] = Vector::cast_from(normed);
        place += units;
    }
}

/// Normalises rows, a cube each.
#[cube(launch, address_type = "dynamic")]
fn norm_rows<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    gamma: &Tensor<Vector<F, N>>,
    beta: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    rows: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] centred: bool,
    #[comptime] shifted: bool,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let start = cube_row(rows) * vectors;
    write_row(
        x, gamma, beta, output, start, vectors, epsilon, centred, shifted, units,
    );
}

/// Adds rows and normalises the sums, a cube each.
#[cube(launch, address_type = "dynamic")]
fn add_norm_rows<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    added: &Tensor<Vector<F, N>>,
    gamma: &Tensor<Vector<F, N>>,
    beta: &Tensor<Vector<F, N>>,
    sum: &mut Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    rows: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] centred: bool,
    #[comptime] shifted: bool,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let start = cube_row(rows) * vectors;
    // Each unit reads the sums that it wrote itself.
    let mut place = UNIT_POS as usize;
    while place < vectors {
        sum[start + place] = x[start + place] + added[start + place];
        place += units;
    }
    write_row(
        sum, gamma, beta, output, start, vectors, epsilon, centred, shifted, units,
    );
}
