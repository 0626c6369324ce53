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

/// Fewer values than this are computed where they are asked for: waking another thread takes longer.
pub(crate) const SMALL: usize = 16 * 1024;

/// Gives `change` the chunks of a buffer with their indices, in parallel where there are many values.
pub(crate) fn for_each_chunk(
    values: &mut [f32],
    chunk: usize,
    change: impl Fn(usize, &mut [f32]) + Sync,
) {
    match values.len() <= SMALL.max(chunk) {
        true => {
            let chunks = values.chunks_mut(chunk).enumerate();
            chunks.for_each(|(index, values)| change(index, values));
        }
        false => {
            let chunks = values.par_chunks_mut(chunk).enumerate();
            chunks.for_each(|(index, values)| change(index, values));
        }
    }
}

/// A buffer of `len` values, of which `fill` is given the chunks with their indices, in parallel.
/// They start as zeros.
pub(crate) fn fill_chunks(
    len: usize,
    chunk: usize,
    fill: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut values = vec![0.0; len];
    for_each_chunk(&mut values, chunk, fill);
    values
}
