//! Rows of several tensors, one behind another, in one launch.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::launching::{address_type, buffer, cube_index, cubes, type_of};
use super::operation::{KernelOperation, TensorType};

/// Units of a cube.
const UNITS: usize = 128;
/// Most tensors that are joined.
const PARTS: usize = 4;

/// Concatenation of rows.
///
/// Inputs are up to 4 tensors, `[batch or 1, rows, d]`, of one type; a batch of one is repeated.
/// The output is `[batch, all rows, d]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JoinedRows {
    /// Size of the batch.
    pub(crate) batch: usize,
}

/// Numbers of rows of the tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Lengths {
    lengths: [usize; PARTS],
    count: usize,
}

impl Lengths {
    fn new(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut all = Self::default();
        for length in lengths {
            all.lengths[all.count] = length;
            all.count += 1;
        }
        all
    }

    fn length(&self, part: usize) -> usize {
        self.lengths[part]
    }

    /// First row of a tensor in the output.
    fn start(&self, part: usize) -> usize {
        self.lengths[..part].iter().sum()
    }
}

impl JoinedRows {
    /// Returns whether the kernel takes tensors of these shapes.
    pub(crate) fn suits(&self, shapes: &[[usize; 3]]) -> bool {
        let width = shapes.first().map_or(0, |shape| shape[2]);
        self.batch > 0
            && width > 0
            && (1..=PARTS).contains(&shapes.len())
            && shapes.iter().all(|&[batch, rows, of]| {
                rows > 0 && of == width && (batch == 1 || batch == self.batch)
            })
    }
}

impl KernelOperation for JoinedRows {
    fn name(&self) -> &'static str {
        "anyref.joined_rows"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let rows = inputs.iter().map(|input| input.dims::<3>()[1]).sum();
        let [.., width] = inputs[0].dims::<3>();
        vec![TensorType::new([self.batch, rows, width], inputs[0].dtype)]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        let inputs: Vec<_> = inputs.into_iter().map(into_contiguous).collect();
        let lengths = Lengths::new(types.iter().map(|input| input.dims::<3>()[1]));
        let output = self.output_types(&types).remove(0);
        let [batch, rows, width] = output.dims();
        let output = buffer(&inputs[0], output.shape, output.dtype);
        let (client, dtype) = (output.client.clone(), output.dtype.into());
        let units = batch * rows * width;
        join::launch(
            &client,
            cubes(units.div_ceil(UNITS)),
            CubeDim::new_1d(UNITS as u32),
            address_type(&inputs.iter().chain([&output]).collect::<Vec<_>>()),
            inputs
                .into_iter()
                .map(CubeTensor::into_tensor_arg)
                .collect(),
            output.clone().into_array_arg(),
            units,
            rows,
            width,
            lengths,
            dtype,
        );
        vec![output]
    }
}

/// Copies a value of the output, a unit each.
#[cube(launch, address_type = "dynamic")]
fn join<F: Float>(
    inputs: &Sequence<Tensor<F>>,
    output: &mut Array<F>,
    units: usize,
    rows: usize,
    width: usize,
    #[comptime] lengths: Lengths,
    #[define(F)] _dtype: StorageType,
) {
    let cube = cube_index();
    let unit = cube * UNITS + UNIT_POS as usize;
    if unit < units {
        let (column, place) = (unit % width, unit / width);
        let (row, batch) = (place % rows, place / rows);
        #[unroll]
        for part in 0..comptime!(lengths.count) {
            let start = comptime!(lengths.start(part));
            let end = comptime!(lengths.start(part + 1));
            if row >= start && row < end {
                let input = inputs.index(part);
                let of_batch = min(batch, input.shape(0) - 1) * comptime!(lengths.length(part));
                output[unit] = input[(of_batch + row - start) * width + column];
            }
        }
    }
}
