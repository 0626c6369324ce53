//! Output buffers filled in parallel.

use super::permute::ordered;
use burn::tensor::{DType, Shape, TensorData, TensorMetadata};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// A tensor that owns `values`.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The tensor with its values in order and nothing else in its buffer. Keeps sole ownership.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() || tensor.dtype() != DType::F32 {
        return tensor.to_contiguous();
    }
    let shape = tensor.shape();
    let axes: Vec<usize> = (0..shape.num_dims()).collect();
    match ordered(&tensor, &axes) {
        Some(values) => self::tensor(values, shape),
        None => tensor.to_contiguous(),
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
    values
        .par_chunks_mut(chunk)
        .enumerate()
        .for_each(|(index, out)| fill(index, out));
    values
}
