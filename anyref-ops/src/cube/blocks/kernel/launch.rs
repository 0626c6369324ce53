//! Buffers, sizes and launches.

use core::ops::Range;

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;

use super::{few, many, widen};
use crate::blocks::{PIECE, PlaneLayout};
use crate::cube::launching::{ABREAST, address_type, buffer, cube_count, vector_size};

/// Rows up to which every output's words are read by one team for all of them.
const FEW: usize = 8;
/// Units of a cube that widens.
const WIDENING: u32 = 128;

/// Computes `x · weightᵀ`, `[n, rows]` of `[n, columns]`.
pub(in crate::cube::blocks) fn product<R: CubeRuntime>(
    x: CubeTensor<R>,
    words: CubeTensor<R>,
    layout: PlaneLayout,
) -> CubeTensor<R> {
    x.assert_is_on_same_device(&words);
    let (x, words) = (into_contiguous(x), into_contiguous(words));
    let [rows, _] = x.meta.shape().dims();
    let output = buffer(&x, Shape::new([rows, layout.rows]), x.dtype);
    let size = vector_size(&[&x], PIECE);
    let addresses = address_type(&[&x, &words, &output]);
    let (client, dtype) = (x.client.clone(), x.dtype.into());
    if rows <= FEW {
        let at_once = rows.next_power_of_two();
        let cubes = layout.rows.div_ceil(few::UNITS / few::LANES);
        let across = cubes.min(ABREAST);
        few::few_rows::launch(
            &client,
            cube_count([across, cubes.div_ceil(across), rows.div_ceil(at_once)]),
            CubeDim::new_1d(few::UNITS as u32),
            addresses,
            size,
            x.into_tensor_arg(),
            words.into_array_arg(),
            output.clone().into_array_arg(),
            rows,
            layout.rows,
            layout.pieces(),
            layout.row_words(),
            at_once,
            layout.block_type,
            dtype,
        );
    } else {
        let across = layout.rows.div_ceil(many::OUTPUTS);
        many::many_rows::launch(
            &client,
            cube_count([across, rows.div_ceil(many::ROWS), 1]),
            CubeDim::new_1d(many::UNITS as u32),
            addresses,
            size,
            x.into_tensor_arg(),
            words.into_array_arg(),
            output.clone().into_array_arg(),
            rows,
            layout.rows,
            layout.pieces(),
            layout.row_words(),
            layout.block_type,
            dtype,
        );
    }
    output
}

/// Values of a range of rows, `[range.len(), columns]`.
pub(in crate::cube::blocks) fn range<R: CubeRuntime>(
    words: CubeTensor<R>,
    layout: PlaneLayout,
    range: Range<usize>,
    dtype: DType,
) -> CubeTensor<R> {
    let words = into_contiguous(words);
    let output = buffer(&words, Shape::new([range.len(), layout.columns]), dtype);
    let units = range.len() * layout.pieces();
    if units == 0 {
        return output;
    }
    let (client, dim) = (words.client.clone(), CubeDim::new_1d(WIDENING));
    widen::widen_range::launch(
        &client,
        calculate_cube_count_elemwise(&client, units, dim),
        dim,
        address_type(&[&words, &output]),
        vector_size(&[&output], PIECE),
        words.into_array_arg(),
        output.clone().into_tensor_arg(),
        range.start,
        range.len(),
        layout.pieces(),
        layout.row_words(),
        layout.block_type,
        dtype.into(),
    );
    output
}

/// Values of the rows of some indices, `[indices, columns]`.
pub(in crate::cube::blocks) fn rows<R: CubeRuntime>(
    words: CubeTensor<R>,
    indices: CubeTensor<R>,
    layout: PlaneLayout,
    dtype: DType,
) -> CubeTensor<R> {
    words.assert_is_on_same_device(&indices);
    let (words, indices) = (into_contiguous(words), into_contiguous(indices));
    let [count] = indices.meta.shape().dims();
    let output = buffer(&words, Shape::new([count, layout.columns]), dtype);
    let units = count * layout.pieces();
    if units == 0 || layout.rows == 0 {
        return output;
    }
    let (client, dim) = (words.client.clone(), CubeDim::new_1d(WIDENING));
    let dtypes = [dtype.into(), indices.dtype.into()];
    widen::widen_rows::launch(
        &client,
        calculate_cube_count_elemwise(&client, units, dim),
        dim,
        address_type(&[&words, &indices, &output]),
        vector_size(&[&output], PIECE),
        words.into_array_arg(),
        indices.into_array_arg(),
        output.clone().into_tensor_arg(),
        layout.rows,
        layout.pieces(),
        layout.row_words(),
        layout.block_type,
        dtypes,
    );
    output
}
