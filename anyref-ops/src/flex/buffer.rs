//! Tensors of f32 as buffers, and buffers filled in parallel.

use burn::tensor::{DType, Shape, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// A tensor that owns `values`.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Values of a contiguous tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.storage()
}

/// Whether every tensor is f32.
pub(crate) fn all_f32(dtypes: &[DType]) -> bool {
    dtypes.iter().all(|&dtype| dtype == DType::F32)
}

/// A buffer of `len` values, of which `fill` is given the chunks with their indices, in parallel.
/// They start as zeros.
pub(crate) fn fill_chunks(
    len: usize,
    chunk: usize,
    fill: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut values = vec![0.0; len];
    values
        .par_chunks_mut(chunk)
        .enumerate()
        .for_each(|(index, out)| fill(index, out));
    values
}
