//! Products of rows in one launch.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::form::Form;
use super::operands::Operands;
use super::{few, tiles};
use crate::cube::launching::{address_type, cube_count, shared_memory, type_of, vector_size};

/// Longest vector that a unit reads.
const VECTOR: usize = 8;
/// Most cubes along an axis.
const CUBES: usize = 65_535;
/// Most rows that a team of units reads a weight for, by groups.
const FEW: usize = 128;
/// Most values of a row that has a norm or positions, where few rows are multiplied.
const STAGED: usize = 1024;

/// Returns whether the kernels suit `rows` rows or groups of a width.
pub(super) fn suits(form: &Form, rows: usize, width: usize) -> bool {
    let parts = form.parts();
    let grouped = form.group > 1 || form.slots > 0;
    rows > 0
        && width > 0
        && !parts.is_empty()
        && parts.iter().all(|part| part.outputs > 0)
        && form.start(parts.len(), few::TEAMS) <= CUBES
        && rows.div_ceil(tiles::SIDE) <= CUBES
        && (!grouped || is_few(form, rows, width))
}

/// Returns whether the kernel for few rows is meant.
fn is_few(form: &Form, rows: usize, width: usize) -> bool {
    rows <= FEW && !form.activated && form.turns == 1 && (width <= STAGED || !few::is_staged(form))
}

/// Computes the products into buffers.
pub(super) fn write<R: CubeRuntime>(
    form: Form,
    epsilon: f64,
    operands: Operands<R>,
    outputs: &[CubeTensor<R>],
) {
    let [rows, width] = type_of(&operands.x).dims();
    let rows = rows / form.group;
    let available = shared_memory(&operands.x);
    let at_once = few::rows_at_once(&form, rows, width, available);
    match at_once.filter(|_| is_few(&form, rows, width)) {
        Some(at_once) => write_few(form, epsilon, operands, outputs, at_once),
        None => write_tiles(form, epsilon, operands, outputs),
    }
}

/// Computes the products of a few rows, some at once.
fn write_few<R: CubeRuntime>(
    form: Form,
    epsilon: f64,
    mut operands: Operands<R>,
    outputs: &[CubeTensor<R>],
    at_once: usize,
) {
    // As in `Gemv`, weights are transposed here rather than by an operation before the kernel.
    for weight in &mut operands.weights {
        weight.meta.swap(0, 1);
    }
    let weights = operands.weights.into_iter().map(into_contiguous);
    operands.weights = weights.collect();
    let [rows, width] = type_of(&operands.x).dims();
    let rows = rows / form.group;
    let Operands {
        x,
        norm,
        places,
        weights,
        biases,
        added,
    } = operands;
    let read = [&x].into_iter().chain(&norm).chain(&places);
    let read: Vec<_> = read.chain(&weights).collect();
    let size = vector_size(&read, VECTOR);
    let written: Vec<_> = outputs.iter().collect();
    let addresses = address_type(&[&read[..], &written[..]].concat());
    let (client, dtypes) = (x.client.clone(), [x.dtype.into(), weights[0].dtype.into()]);
    let (kept, products) = outputs.split_at(usize::from(form.kept));
    let (period, added_rows) = (Operands::period(&places), Operands::period(&added));
    let columns = form.start(form.count, few::TEAMS);
    few::multiply_few::launch(
        &client,
        cube_count([columns, rows.div_ceil(at_once), 1]),
        CubeDim::new_1d(few::UNITS as u32),
        addresses,
        size,
        x.into_tensor_arg(),
        norm.into_iter().map(CubeTensor::into_tensor_arg).collect(),
        places
            .into_iter()
            .map(CubeTensor::into_tensor_arg)
            .collect(),
        weights
            .into_iter()
            .map(CubeTensor::into_tensor_arg)
            .collect(),
        biases.into_iter().map(CubeTensor::into_array_arg).collect(),
        added.into_iter().map(CubeTensor::into_array_arg).collect(),
        kept.iter().map(|x| x.clone().into_tensor_arg()).collect(),
        products
            .iter()
            .map(|x| x.clone().into_array_arg())
            .collect(),
        rows,
        period,
        added_rows,
        epsilon as f32,
        form,
        at_once,
        width / size,
        dtypes,
    );
}

/// Computes the products of many rows.
fn write_tiles<R: CubeRuntime>(
    form: Form,
    epsilon: f64,
    operands: Operands<R>,
    outputs: &[CubeTensor<R>],
) {
    let [rows, width] = type_of(&operands.x).dims();
    let Operands {
        x,
        norm,
        places,
        weights,
        biases,
        added,
    } = operands;
    let read = [&x].into_iter().chain(&weights).chain(&added);
    let addresses = address_type(&read.chain(outputs).collect::<Vec<_>>());
    let (client, dtypes) = (x.client.clone(), [x.dtype.into(), weights[0].dtype.into()]);
    let (kept, products) = outputs.split_at(usize::from(form.kept));
    let (period, added_rows) = (Operands::period(&places), Operands::period(&added));
    let columns = form.start(form.count, tiles::SIDE);
    let by_inputs = weights[0].meta.strides()[0] == 1;
    tiles::multiply_tiles::launch(
        &client,
        cube_count([columns, rows.div_ceil(tiles::SIDE), 1]),
        CubeDim::new_1d(tiles::UNITS as u32),
        addresses,
        x.into_tensor_arg(),
        norm.into_iter().map(CubeTensor::into_tensor_arg).collect(),
        places
            .into_iter()
            .map(CubeTensor::into_tensor_arg)
            .collect(),
        weights
            .into_iter()
            .map(CubeTensor::into_tensor_arg)
            .collect(),
        biases.into_iter().map(CubeTensor::into_array_arg).collect(),
        added.into_iter().map(CubeTensor::into_array_arg).collect(),
        kept.iter().map(|x| x.clone().into_tensor_arg()).collect(),
        products
            .iter()
            .map(|x| x.clone().into_array_arg())
            .collect(),
        rows,
        period,
        added_rows,
        width,
        epsilon as f32,
        form,
        by_inputs,
        dtypes,
    );
}
