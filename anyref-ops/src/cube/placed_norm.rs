//! Layer norms of sums, and the positions added to them, in one launch.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::launching::{address_type, buffer, cubes, type_of, vector_size};
use super::norm::{UNITS, VECTOR, cube_row, write_row};
use super::operation::{KernelOperation, TensorType, exactly};

/// Layer norm of rows, and its sum with the rows' positions.
///
/// Inputs are the rows `x`, `[n, d]`, a second summand of the same shape if there is one, the
/// scale and the shift, `[d]`, and the positions, `[m, d]`, which repeat every `m` rows, all of one
/// type. Outputs are the normalised rows and their sums with the positions. Values are f32 in the
/// kernel, except for the normalised sum and the normalised rows, which are rounded first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlacedNorm {
    /// Adds a second summand.
    pub(crate) added: bool,
    /// Addend of the variance.
    pub(crate) epsilon: f64,
}

impl KernelOperation for PlacedNorm {
    fn name(&self) -> &'static str {
        "anyref.placed_norm"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        vec![inputs[0].clone(); 2]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let mut inputs: Vec<_> = inputs.into_iter().map(into_contiguous).collect();
        // A missing summand is not read.
        if !self.added {
            inputs.insert(1, inputs[0].clone());
        }
        let [x, added, gamma, beta, places] = exactly(inputs);
        let [rows, width] = type_of(&x).dims();
        let [period, _] = type_of(&places).dims();
        let output = || buffer(&x, x.meta.shape().clone(), x.dtype);
        let (normed, placed) = (output(), output());
        if rows * width == 0 {
            return vec![normed, placed];
        }
        let size = vector_size(&[&x, &gamma], VECTOR);
        let vectors = width / size;
        let units = vectors.next_power_of_two().clamp(32, UNITS);
        let (client, dtype) = (x.client.clone(), x.dtype.into());
        place_rows::launch(
            &client,
            cubes(rows),
            CubeDim::new_1d(units as u32),
            address_type(&[&x]),
            size,
            x.into_tensor_arg(),
            added.into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            places.into_tensor_arg(),
            normed.clone().into_tensor_arg(),
            placed.clone().into_tensor_arg(),
            rows,
            period,
            vectors,
            self.epsilon as f32,
            self.added,
            units,
            dtype,
        );
        vec![normed, placed]
    }
}

/// Normalises rows or sums of rows, and adds their positions, a cube each.
#[cube(launch, address_type = "dynamic")]
fn place_rows<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    added: &Tensor<Vector<F, N>>,
    gamma: &Tensor<Vector<F, N>>,
    beta: &Tensor<Vector<F, N>>,
    places: &Tensor<Vector<F, N>>,
    normed: &mut Tensor<Vector<F, N>>,
    placed: &mut Tensor<Vector<F, N>>,
    rows: usize,
    period: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] summed: bool,
    #[comptime] units: usize,
    #[define(F)] _dtype: StorageType,
) {
    let row = cube_row(rows);
    let start = row * vectors;
    // Each unit reads the values that it wrote itself.
    if comptime!(summed) {
        let mut place = UNIT_POS as usize;
        while place < vectors {
            placed[start + place] = x[start + place] + added[start + place];
            place += units;
        }
        write_row(
            placed, gamma, beta, normed, start, vectors, epsilon, true, true, units,
        );
    } else {
        write_row(
            x, gamma, beta, normed, start, vectors, epsilon, true, true, units,
        );
    }
    let position = row % period * vectors;
    let mut place = UNIT_POS as usize;
    while place < vectors {
        placed[start + place] = normed[start + place] + places[position + place];
        place += units;
    }
}
