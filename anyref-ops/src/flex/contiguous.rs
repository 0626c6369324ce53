//! Contiguous tensors.

use super::buffer::tensor;
use super::permute::ordered;
use burn::tensor::{DType, TensorMetadata};
use burn_flex::FlexTensor;

/// Makes a tensor contiguous, with nothing else in its buffer. Keeps sole ownership.
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
