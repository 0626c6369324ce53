//! Gradients of normalisations, in one launch, or in two with those of their parameters.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

use super::launching::{address_type, buffer, cube_index, cubes, type_of, vector_size};
use super::norm::UNITS;
use super::operation::{KernelOperation, TensorType, exactly};
use super::reduce::cube_sum;

/// Longest vector that a unit reads.
const VECTOR: usize = 4;
/// Most cubes that sum gradients of parameters over rows.
const PARTS: usize = 256;
/// Units of a cube that adds the cubes' sums.
const ADDING_UNITS: u32 = 64;

/// Gradients of a [normalisation](super::norm::Norm).
///
/// Inputs are the rows as they were before, `[n, d]`, the scale, `[d]`, and the gradient of the
/// output, `[n, d]`, all of one type, which is that of the outputs: the gradient of the rows and,
/// if wanted, of the scale and the shift. Values and sums are f32; means and scales of rows are
/// computed again. Gradients of parameters are sums of at most [`PARTS`] cubes' sums, in a fixed
/// order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormGradient {
    /// The mean was subtracted.
    pub(crate) centred: bool,
    /// A shift was added.
    pub(crate) shifted: bool,
    /// Gradients of the parameters are wanted.
    pub(crate) of_parameters: bool,
    /// Addend of the mean square.
    pub(crate) epsilon: f64,
}

impl NormGradient {
    fn parameters(&self) -> usize {
        match self.of_parameters {
            true => 1 + usize::from(self.shifted),
            false => 0,
        }
    }
}

impl KernelOperation for NormGradient {
    fn name(&self) -> &'static str {
        "anyref.norm_gradient"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let rows = core::iter::once(inputs[0].clone());
        let parameters = core::iter::repeat_n(inputs[1].clone(), self.parameters());
        rows.chain(parameters).collect()
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [x, gamma, gradient] = exactly::<_, 3>(inputs).map(into_contiguous);
        let [rows, width] = type_of(&x).dims();
        let output = buffer(&x, x.meta.shape().clone(), x.dtype);
        let size = vector_size(&[&x, &gamma], VECTOR);
        let vectors = width / size;
        let units = vectors.next_power_of_two().clamp(32, UNITS);
        // Without gradients of parameters each cube has one row.
        let parts = match self.of_parameters {
            true => rows.min(PARTS),
            false => rows,
        };
        let sums = match self.of_parameters {
            true => (self.parameters() * parts * width).max(size),
            // Nothing is written.
            false => size,
        };
        let sums = buffer(&x, Shape::new([sums]), DType::F32);
        let (client, dtype) = (x.client.clone(), x.dtype.into());
        let addresses = address_type(&[&x, &sums]);
        if rows * width > 0 {
            row_gradients::launch(
                &client,
                cubes(parts),
                CubeDim::new_1d(units as u32),
                addresses,
                size,
                x.clone().into_tensor_arg(),
                gamma.clone().into_tensor_arg(),
                gradient.into_tensor_arg(),
                output.clone().into_tensor_arg(),
                sums.clone().into_tensor_arg(),
                rows,
                parts,
                vectors,
                self.epsilon as f32,
                Form {
                    centred: self.centred,
                    shifted: self.shifted,
                    of_parameters: self.of_parameters,
                    units,
                    slots: vectors.div_ceil(units),
                },
                dtype,
            );
        }
        if !self.of_parameters {
            return vec![output];
        }
        let parameter = || buffer(&x, Shape::new([width]), x.dtype);
        let scale = parameter();
        let shift = match self.shifted {
            true => parameter(),
            false => buffer(&x, Shape::new([size]), x.dtype),
        };
        if width > 0 {
            let dim = CubeDim::new_1d(ADDING_UNITS);
            add_parts::launch(
                &client,
                calculate_cube_count_elemwise(&client, self.parameters() * vectors, dim),
                dim,
                addresses,
                size,
                sums.into_tensor_arg(),
                scale.clone().into_tensor_arg(),
                shift.clone().into_tensor_arg(),
                parts,
                vectors,
                self.shifted,
                dtype,
            );
        }
        let parameters = [scale, shift].into_iter().take(self.parameters());
        core::iter::once(output).chain(parameters).collect()
    }
}

/// Form of a normalisation and of a cube, whose units have `slots` vectors of a row each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Form {
    centred: bool,
    shifted: bool,
    of_parameters: bool,
    units: usize,
    slots: usize,
}

/// Gradients of every `parts`th row, a cube each, with its sums of the gradients of parameters, of
/// the scale and behind all parts of it of the shift.
#[cube(launch, address_type = "dynamic")]
fn row_gradients<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    gamma: &Tensor<Vector<F, N>>,
    gradient: &Tensor<Vector<F, N>>,
    output: &mut Tensor<Vector<F, N>>,
    sums: &mut Tensor<Vector<f32, N>>,
    rows: usize,
    parts: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] form: Form,
    #[define(F)] _dtype: StorageType,
) {
    let size = x.vector_size();
    let units = comptime!(form.units);
    let unit = UNIT_POS as usize;
    let mut partial = SharedMemory::<f32>::new(units);
    let part = cube_index();
    let width = f32::cast_from((vectors * size) as u32);
    let mut values = Array::<Vector<f32, N>>::new(comptime!(form.slots));
    let mut pulls = Array::<Vector<f32, N>>::new(comptime!(form.slots));
    let mut scales = Array::<Vector<f32, N>>::new(comptime!(form.slots));
    let mut shifts = Array::<Vector<f32, N>>::new(comptime!(form.slots));
    #[unroll]
    for slot in 0..comptime!(form.slots) {
        scales[slot] = Vector::<f32, N>::zeroed();
        shifts[slot] = Vector::<f32, N>::zeroed();
    }
    let mut done = 0usize;
    while part + done < rows {
        let start = (part + done) * vectors;
        let mut sum = f32::new(0.0);
        #[unroll]
        for slot in 0..comptime!(form.slots) {
            let place = unit + comptime!(slot * form.units);
            if place < vectors {
                let read = Vector::<f32, N>::cast_from(x[start + place]);
                values[slot] = read;
                #[unroll]
                for i in 0..size {
                    sum += read[i];
                }
            }
        }
        let mut mean = f32::new(0.0);
        if comptime!(form.centred) {
            mean = cube_sum(sum, &mut partial, units) / width;
        }
        let mut square = f32::new(0.0);
        #[unroll]
        for slot in 0..comptime!(form.slots) {
            let place = unit + comptime!(slot * form.units);
            if place < vectors {
                let read = values[slot];
                #[unroll]
                for i in 0..size {
                    let value = read[i] - mean;
                    square += value * value;
                }
            }
        }
        let square = cube_sum(square, &mut partial, units) / width;
        let scale = 1.0 / (square + epsilon).sqrt();

        // Gradients of the normalised values, their sum, and their product with these.
        let mut whole = f32::new(0.0);
        let mut along = f32::new(0.0);
        #[unroll]
        for slot in 0..comptime!(form.slots) {
            let place = unit + comptime!(slot * form.units);
            if place < vectors {
                let read = values[slot];
                let above = Vector::<f32, N>::cast_from(gradient[start + place]);
                let pull = above * Vector::<f32, N>::cast_from(gamma[place]);
                let mut normed = Vector::<f32, N>::zeroed();
                #[unroll]
                for i in 0..size {
                    let value = (read[i] - mean) * scale;
                    normed[i] = value;
                    whole += pull[i];
                    along += pull[i] * value;
                }
                values[slot] = normed;
                pulls[slot] = pull;
                if comptime!(form.of_parameters) {
                    scales[slot] = scales[slot] + above * normed;
                    shifts[slot] = shifts[slot] + above;
                }
            }
        }
        let along = cube_sum(along, &mut partial, units) / width;
        let mut common = f32::new(0.0);
        if comptime!(form.centred) {
            common = cube_sum(whole, &mut partial, units) / width;
        }
        #[unroll]
        for slot in 0..comptime!(form.slots) {
            let place = unit + comptime!(slot * form.units);
            if place < vectors {
                let (normed, pull) = (values[slot], pulls[slot]);
                let mut found = Vector::<f32, N>::zeroed();
                #[unroll]
                for i in 0..size {
                    found[i] = (pull[i] - common - normed[i] * along) * scale;
                }
                output[start + place] = Vector::cast_from(found);
            }
        }
        done += parts;
    }
    if comptime!(form.of_parameters) {
        #[unroll]
        for slot in 0..comptime!(form.slots) {
            let place = unit + comptime!(slot * form.units);
            if place < vectors && part < parts {
                sums[part * vectors + place] = scales[slot];
                if comptime!(form.shifted) {
                    sums[(parts + part) * vectors + place] = shifts[slot];
                }
            }
        }
    }
}

/// Adds the sums of all parts, a vector a unit.
#[cube(launch, address_type = "dynamic")]
fn add_parts<F: Float, N: Size>(
    sums: &Tensor<Vector<f32, N>>,
    scale: &mut Tensor<Vector<F, N>>,
    shift: &mut Tensor<Vector<F, N>>,
    parts: usize,
    vectors: usize,
    #[comptime] shifted: bool,
    #[define(F)] _dtype: StorageType,
) {
    let parameter = ABSOLUTE_POS / vectors;
    let place = ABSOLUTE_POS % vectors;
    let mut whole = Vector::<f32, N>::zeroed();
    if parameter < comptime!(1 + usize::from(shifted)) {
        for part in 0..parts {
            whole += sums[(parameter * parts + part) * vectors + place];
        }
        if parameter == 0 {
            scale[place] = Vector::cast_from(whole);
        } else if comptime!(shifted) {
            shift[place] = Vector::cast_from(whole);
        }
    }
}
