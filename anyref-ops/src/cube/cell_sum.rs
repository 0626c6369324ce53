//! Sum of two maps, as rows of cells, in one launch.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::launching::{address_type, buffer, cube_count, type_of};
use super::operation::{KernelOperation, TensorType, exactly};

/// Cells, and channels, of a tile.
const SIDE: usize = 32;
/// Rows of a tile that the units of a cube copy at once.
const ROWS: usize = 8;
/// Units of a cube.
const UNITS: usize = SIDE * ROWS;

/// Sum of two maps whose cells become rows.
///
/// Inputs are `[batch or 1, channels, height, width]` each, of one type and any strides, such as
/// one vector expanded to all cells. The output is `[batch, height * width, channels]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CellSum;

impl CellSum {
    /// Returns whether the kernel takes maps of these shapes.
    pub(crate) fn suits([x, y]: [[usize; 4]; 2]) -> bool {
        let batch = x[0].max(y[0]);
        x[1..] == y[1..]
            && x.iter().all(|&size| size > 0)
            && [x[0], y[0]].iter().all(|&of| of == 1 || of == batch)
            && batch <= 65_535
            && x[1].div_ceil(SIDE) <= 65_535
            && (x[2] * x[3]).div_ceil(SIDE) <= 65_535
    }
}

impl KernelOperation for CellSum {
    fn name(&self) -> &'static str {
        "anyref.cell_sum"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let ([batch, channels, height, width], [other, ..]) =
            (inputs[0].dims(), inputs[1].dims::<4>());
        let shape = [batch.max(other), height * width, channels];
        vec![TensorType::new(shape, inputs[0].dtype)]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        let [x, y] = exactly(inputs);
        let output = self.output_types(&types).remove(0);
        let [batch, cells, channels] = output.dims();
        let output = buffer(&x, output.shape, output.dtype);
        let (client, dtype) = (output.client.clone(), output.dtype.into());
        add_cells::launch(
            &client,
            cube_count([cells.div_ceil(SIDE), channels.div_ceil(SIDE), batch]),
            CubeDim::new_1d(UNITS as u32),
            address_type(&[&x, &y, &output]),
            x.into_tensor_arg(),
            y.into_tensor_arg(),
            output.clone().into_array_arg(),
            dtype,
        );
        vec![output]
    }
}

/// Value of a map.
#[cube]
fn read<F: Float>(map: &Tensor<F>, batch: usize, channel: usize, cell: usize) -> F {
    let (row, column) = (cell / map.shape(3), cell % map.shape(3));
    let batch = min(batch, map.shape(0) - 1);
    let of_channel = batch * map.stride(0) + channel * map.stride(1);
    map[of_channel + row * map.stride(2) + column * map.stride(3)]
}

/// Adds maps, a cube for a tile of cells and channels, which it turns in shared memory.
#[cube(launch, address_type = "dynamic")]
fn add_cells<F: Float>(
    x: &Tensor<F>,
    y: &Tensor<F>,
    output: &mut Array<F>,
    #[define(F)] _dtype: StorageType,
) {
    // Rows of an odd length, against bank conflicts.
    let pitch = comptime!(SIDE + 1);
    let mut tile = SharedMemory::<F>::new(comptime!(SIDE * (SIDE + 1)));
    let (channels, cells) = (x.shape(1), x.shape(2) * x.shape(3));
    let (across, down) = (UNIT_POS as usize % SIDE, UNIT_POS as usize / SIDE);
    let first_cell = CUBE_POS_X as usize * SIDE;
    let first_channel = CUBE_POS_Y as usize * SIDE;
    let batch = CUBE_POS_Z as usize;
    #[unroll]
    for turn in 0..comptime!(SIDE / ROWS) {
        let row = down + turn * ROWS;
        let (channel, cell) = (first_channel + row, first_cell + across);
        if channel < channels && cell < cells {
            tile[row * pitch + across] =
                read(x, batch, channel, cell) + read(y, batch, channel, cell);
        }
    }
    sync_cube();
    #[unroll]
    for turn in 0..comptime!(SIDE / ROWS) {
        let row = down + turn * ROWS;
        let (channel, cell) = (first_channel + across, first_cell + row);
        if channel < channels && cell < cells {
            output[(batch * cells + cell) * channels + channel] = tile[across * pitch + row];
        }
    }
}
