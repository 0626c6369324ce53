//! Buffers and sizes of launches.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;
use cubecl::tensor_vector_size_parallel;

use super::operation::TensorType;

/// Cubes of one axis; devices have at most 65535.
pub(super) const ABREAST: usize = 32_768;

/// Allocates an uninitialised buffer on the device of a tensor. In tests of this crate it is full
/// of NaN, so that numbers that a kernel leaves out, or reads before it writes them, are seen.
pub(super) fn buffer<R: CubeRuntime>(
    like: &CubeTensor<R>,
    shape: Shape,
    dtype: DType,
) -> CubeTensor<R> {
    let (client, device) = (like.client.clone(), like.device.clone());
    #[cfg(test)]
    if dtype.is_float() {
        let nan = InputScalar::new(f32::NAN, dtype);
        let full = burn_cubecl::ops::numeric::full_device_dtype(client, shape, device, nan, dtype);
        // CUDA leaves room behind short rows.
        return into_contiguous(full);
    }
    empty_device_contiguous_dtype(client, device, shape, dtype)
}

/// Allocates `[batch, heads, length, width]` as rows of tokens, which in memory are `[batch,
/// length, heads, width]`; for one token both orders are the same.
pub(super) fn token_rows<R: CubeRuntime>(
    like: &CubeTensor<R>,
    [batch, heads, length, width]: [usize; 4],
) -> CubeTensor<R> {
    if length == 1 {
        return buffer(like, Shape::new([batch, heads, length, width]), like.dtype);
    }
    let mut rows = buffer(like, Shape::new([batch, length, heads, width]), like.dtype);
    rows.meta.swap(1, 2);
    rows
}

/// Shape and type of a tensor.
pub(super) fn type_of<R: CubeRuntime>(tensor: &CubeTensor<R>) -> TensorType {
    TensorType {
        shape: tensor.meta.shape().clone(),
        dtype: tensor.dtype,
    }
}

/// Bytes of shared memory that a cube may have on the device of a tensor.
pub(super) fn shared_memory<R: CubeRuntime>(tensor: &CubeTensor<R>) -> usize {
    tensor.client.properties().hardware.max_shared_memory_size
}

/// Length of the longest vectors in which all tensors, which are contiguous, can be read or written
/// along their last dimension, up to `most`.
pub(super) fn vector_size<R: CubeRuntime>(tensors: &[&CubeTensor<R>], most: usize) -> usize {
    let of = |tensor: &CubeTensor<R>| {
        let sizes = tensor.client.io_optimized_vector_sizes(tensor.elem_size());
        let sizes = sizes.filter(|&size| size <= most);
        let meta = &tensor.meta;
        let axis = meta.shape().num_dims() - 1;
        tensor_vector_size_parallel(sizes, meta.shape(), meta.strides(), axis)
    };
    tensors.iter().map(|tensor| of(tensor)).min().unwrap_or(1)
}

/// Tensor whose last dimension is contiguous: itself, or a copy.
pub(super) fn along_last<R: CubeRuntime>(tensor: CubeTensor<R>) -> CubeTensor<R> {
    match tensor.meta.strides().last() {
        Some(1) => tensor,
        _ => into_contiguous(tensor),
    }
}

/// Length of the longest vectors in which all tensors can be read along their last dimension, up to
/// `most`; a dimension of a view may have any stride but the last.
pub(super) fn view_vector_size<R: CubeRuntime>(tensors: &[&CubeTensor<R>], most: usize) -> usize {
    let of = |tensor: &CubeTensor<R>| {
        let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
        let axis = shape.num_dims() - 1;
        let fits = |size: usize| {
            shape[axis].is_multiple_of(size)
                && strides
                    .iter()
                    .take(axis)
                    .all(|stride| stride.is_multiple_of(size))
        };
        let sizes = tensor.client.io_optimized_vector_sizes(tensor.elem_size());
        sizes
            .filter(|&size| size <= most && fits(size))
            .max()
            .unwrap_or(1)
    };
    tensors.iter().map(|tensor| of(tensor)).min().unwrap_or(1)
}

/// Integer type wide enough to address the tensors.
pub(super) fn address_type<R: CubeRuntime>(tensors: &[&CubeTensor<R>]) -> AddressType {
    let types = tensors.iter().map(|tensor| tensor.required_address_type());
    types.max().unwrap_or_default()
}

pub(super) fn cube_count(count: [usize; 3]) -> CubeCount {
    let [x, y, z] = count.map(|count| count as u32);
    CubeCount::Static(x, y, z)
}

/// Cubes over two axes, at least as many as `count`, and less than one row of them more.
pub(super) fn cubes(count: usize) -> CubeCount {
    let across = count.clamp(1, ABREAST);
    cube_count([across, count.div_ceil(across), 1])
}

/// Number of a cube of [`cubes`], inside a kernel.
#[cube]
pub(super) fn cube_index() -> usize {
    CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize
}
