//! Output buffers filled in parallel.

use burn::tensor::{Shape, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// A tensor that owns `values`.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The tensor with its values in order and nothing else in its buffer. Keeps sole ownership.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
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
