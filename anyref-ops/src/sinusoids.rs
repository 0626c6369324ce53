//! Sines and cosines of angles.

use core::f64::consts::PI;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

use crate::matmul;

/// Computes `[sin(x), cos(x)]`, joined along the last dimension.
///
/// # Shapes
/// - x: `[.., n]`
/// - output: `[.., 2 * n]`
pub fn sinusoids<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    #[cfg(feature = "flex")]
    let x = match super::flex::sinusoids(x) {
        Ok(y) => return y,
        Err(x) => x,
    };
    Tensor::cat(vec![x.clone().sin(), x.cos()], D - 1)
}

/// Encodes points by [`sinusoids`] of their products with frequencies, in f32.
///
/// # Shapes
/// - points: f32, `[batch, n, 2]`, (x, y) in `[-1, 1]`
/// - matrix: frequencies of x and y in turns, `[2, frequencies]`
/// - output: `[batch, n, 2 * frequencies]`
pub fn point_sinusoids<B: Backend>(points: Tensor<B, 3>, matrix: Tensor<B, 2>) -> Tensor<B, 3> {
    let angles = matmul(points, matrix.cast(DType::F32).unsqueeze()) * (2.0 * PI);
    sinusoids(angles)
}

/// Encodes the centres of a grid's cells, in row-major order, as [`point_sinusoids`] does, where
/// the grid has sides from -1 to 1. Angles are f32. On GPUs without gradients it takes one launch.
///
/// # Shapes
/// - matrix: frequencies of x and y in turns, `[2, frequencies]`
/// - output: `[1, height * width, 2 * frequencies]`, of type `dtype`
pub fn grid_sinusoids<B: Backend>(
    matrix: Tensor<B, 2>,
    [height, width]: [usize; 2],
    dtype: DType,
) -> Tensor<B, 3> {
    #[cfg(feature = "cube")]
    if let Some(encoded) = crate::cube::grid_sinusoids(&matrix, [height, width], dtype) {
        return encoded;
    }
    let centre = |index: usize, size: usize| (index as f32 + 0.5) / size as f32 * 2.0 - 1.0;
    let centres = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| [centre(x, width), centre(y, height)]))
        .collect::<Vec<_>>();
    let data = TensorData::new(centres, [1, height * width, 2]);
    let centres = Tensor::from_data(data, (&matrix.device(), DType::F32));
    point_sinusoids(centres, matrix).cast(dtype)
}
