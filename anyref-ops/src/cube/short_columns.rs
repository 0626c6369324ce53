//! Products of a few rows and many short columns, a batch of them in one launch.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::launching::{address_type, buffer, cube_index, cubes, type_of, vector_size};
use super::operation::{KernelOperation, TensorType, exactly};

/// Units of a cube.
const UNITS: usize = 128;
/// Longest vector that a unit reads.
const VECTOR: usize = 8;

/// Products `x · columnsᵀ`, a unit for each column.
///
/// Inputs are the rows `x`, `[batch, n, d]`, and the columns, `[batch, count, d]`, of one type.
/// The output is `[batch, n, count]`. Sums are f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShortColumns {
    /// Cells of a row of a picture whose pixels the columns are, 16 of each cell in the order of
    /// [`pixel_products`](crate::pixel_products); products are then in the picture's order.
    pub(crate) cells_across: Option<usize>,
}

impl ShortColumns {
    /// Maximum rows, of which a unit holds a sum each.
    const ROWS: usize = 8;
    /// Maximum length of a column, which a unit reads alone.
    const LENGTH: usize = 64;

    /// Returns whether the kernel suits rows and columns of these shapes.
    pub(crate) fn suits(x: [usize; 3], columns: [usize; 3]) -> bool {
        let ([batch, rows, length], [column_batch, count, _]) = (x, columns);
        batch == column_batch
            && batch * count > 0
            && (1..=Self::ROWS).contains(&rows)
            && (1..=Self::LENGTH).contains(&length)
    }
}

impl KernelOperation for ShortColumns {
    fn name(&self) -> &'static str {
        "anyref.short_columns"
    }

    fn output_types(&self, inputs: &[TensorType]) -> Vec<TensorType> {
        let ([batch, rows, _], [_, count, _]) = (inputs[0].dims(), inputs[1].dims::<3>());
        vec![TensorType::new([batch, rows, count], inputs[0].dtype)]
    }

    fn launch<R: CubeRuntime>(self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let types: Vec<_> = inputs.iter().map(type_of).collect();
        let inputs: Vec<_> = inputs.into_iter().map(into_contiguous).collect();
        let [x, columns] = exactly(inputs);
        let [output] = exactly(self.output_types(&types));
        let [batch, rows, count] = output.dims();
        let [.., length] = types[0].dims::<3>();
        let output = buffer(&x, output.shape, output.dtype);
        let size = vector_size(&[&x, &columns], VECTOR);
        let (client, dtype) = (x.client.clone(), x.dtype.into());
        let units = batch * count;
        multiply::launch(
            &client,
            cubes(units.div_ceil(UNITS)),
            CubeDim::new_1d(UNITS as u32),
            address_type(&[&x, &columns, &output]),
            size,
            x.into_tensor_arg(),
            columns.into_tensor_arg(),
            output.clone().into_array_arg(),
            units,
            count,
            self.cells_across.unwrap_or(1),
            rows,
            length / size,
            self.cells_across.is_some(),
            dtype,
        );
        vec![output]
    }
}

/// Place of a pixel in the order of rows and columns, for a picture of some cells across. Pixels of
/// a cell are in the order (y₁, x₁, y₂, x₂).
#[cube]
fn picture_place(pixel: usize, across: usize) -> usize {
    let (cell, inside) = (pixel / 16, pixel % 16);
    let down = inside / 8 * 2 + inside / 2 % 2;
    let right = inside / 4 % 2 * 2 + inside % 2;
    let row = cell / across * 4 + down;
    row * across * 4 + cell % across * 4 + right
}

/// Products of a column and all rows of its batch, a unit for each column.
#[cube(launch, address_type = "dynamic")]
fn multiply<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    columns: &Tensor<Vector<F, N>>,
    output: &mut Array<F>,
    units: usize,
    count: usize,
    across: usize,
    #[comptime] rows: usize,
    #[comptime] vectors: usize,
    #[comptime] of_picture: bool,
    #[define(F)] _dtype: StorageType,
) {
    let size = x.vector_size();
    let cube = cube_index();
    let unit = cube * UNITS + UNIT_POS as usize;
    if unit < units {
        let (batch, column) = (unit / count, unit % count);
        let mut sums = Array::<f32>::new(rows);
        #[unroll]
        for row in 0..rows {
            sums[row] = f32::new(0.0);
        }
        #[unroll]
        for part in 0..vectors {
            let values = Vector::<f32, N>::cast_from(columns[unit * vectors + part]);
            #[unroll]
            for row in 0..rows {
                let from = (batch * rows + row) * vectors + part;
                let weights = Vector::<f32, N>::cast_from(x[from]);
                #[unroll]
                for i in 0..size {
                    sums[row] += values[i] * weights[i];
                }
            }
        }
        let mut place = column;
        if comptime!(of_picture) {
            place = picture_place(column, across);
        }
        #[unroll]
        for row in 0..rows {
            output[(batch * rows + row) * count + place] = F::cast_from(sums[row]);
        }
    }
}
