//! Position encoding of a grid's cells, in one launch.

use burn::tensor::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::launching::{address_type, buffer, cube_index, cubes, type_of};
use super::operation::{KernelOperation, TensorType, exactly};

/// Units of a cube.
const UNITS: usize = 128;
/// Radians of a turn.
const TURN: f32 = 2.0 * core::f32::consts::PI;

/// Sines and cosines of the centres of a grid's cells.
///
/// The input is the matrix of frequencies of columns and rows, `[2, n]`, in turns. The output is
/// `[1, height * width, 2 * n]`: sines, then cosines. Angles are f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GridSinusoids {
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Type of the output.
    pub(crate) dtype: DType,
}

impl KernelOperation for GridSinusoids {
    fn name(&self) -> &'static str {
        "anyref.grid_sinusoids"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let [_, frequencies] = inputs[0].dims();
        let shape = [1, self.height * self.width, 2 * frequencies];
        vec![TensorType::new(shape, self.dtype)]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        let [matrix] = exactly(inputs);
        let matrix = into_contiguous(matrix);
        let [_, frequencies] = types[0].dims();
        let output = self.output_types(&types).remove(0);
        let output = buffer(&matrix, output.shape, output.dtype);
        let units = self.height * self.width * frequencies;
        if units == 0 {
            return vec![output];
        }
        let client = matrix.client.clone();
        let dtypes = [matrix.dtype.into(), output.dtype.into()];
        encode::launch(
            &client,
            cubes(units.div_ceil(UNITS)),
            CubeDim::new_1d(UNITS as u32),
            address_type(&[&matrix, &output]),
            matrix.into_array_arg(),
            output.clone().into_array_arg(),
            units,
            self.height,
            self.width,
            frequencies,
            dtypes,
        );
        vec![output]
    }
}

/// Centre of a cell, from -1 to 1.
#[cube]
fn centre(index: usize, size: usize) -> f32 {
    (f32::cast_from(index as u32) + 0.5) / f32::cast_from(size as u32) * 2.0 - 1.0
}

/// Writes the sine and the cosine of a frequency in a cell, a unit each.
#[cube(launch, address_type = "dynamic")]
fn encode<M: Float, F: Float>(
    matrix: &Array<M>,
    output: &mut Array<F>,
    units: usize,
    height: usize,
    width: usize,
    frequencies: usize,
    #[define(M, F)] _dtypes: [StorageType; 2],
) {
    let cube = cube_index();
    let unit = cube * UNITS + UNIT_POS as usize;
    if unit < units {
        let (frequency, cell) = (unit % frequencies, unit / frequencies);
        let across = centre(cell % width, width) * f32::cast_from(matrix[frequency]);
        let down = centre(cell / width, height) * f32::cast_from(matrix[frequencies + frequency]);
        let angle = (across + down) * TURN;
        let place = cell * 2 * frequencies + frequency;
        output[place] = F::cast_from(angle.sin());
        output[place + frequencies] = F::cast_from(angle.cos());
    }
}
