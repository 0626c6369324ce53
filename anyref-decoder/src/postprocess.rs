//! Post-processing of low-resolution logits to the original picture's size.

use anyref_ops as ops;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

/// Resizes mask logits to the original picture: bilinear to the image encoder's square, crop of its
/// padding, bilinear to the original size, in f32 (segment-anything `sam.py`, `postprocess_masks`).
///
/// The three steps are combined to one matrix for each axis: no square of `image_size` pixels is
/// ever created, and gradients work on every backend.
///
/// # Shapes
/// - low_res: `[n, m, h, w]`
/// - input_size: `[height, width]` of the resized picture within the square
/// - original_size: `[height, width]` of the picture
/// - output: `[n, m, height, width]` logits in f32; a mask is where they are above 0
///
/// # Panics
/// When a size is 0, or `input_size` exceeds `image_size`.
pub fn postprocess_masks<B: Backend>(
    low_res: Tensor<B, 4>,
    input_size: [usize; 2],
    original_size: [usize; 2],
    image_size: usize,
) -> Tensor<B, 4> {
    let [prompts, masks, low_height, low_width] = low_res.dims();
    let [height, width] = original_size;
    let device = low_res.device();
    let axis = |low, input, original| resize_axis(low, image_size, input, original);
    let rows = TensorData::new(
        axis(low_height, input_size[0], height),
        [1, height, low_height],
    );
    let columns = TensorData::new(axis(low_width, input_size[1], width), [width, low_width]);
    let rows = Tensor::<B, 3>::from_data(rows, (&device, DType::F32));
    let columns = Tensor::<B, 2>::from_data(columns, (&device, DType::F32));

    let count = prompts * masks;
    let low_res = low_res
        .cast(DType::F32)
        .reshape([count * low_height, low_width]);
    let wide = ops::matmul(low_res, columns.transpose()).reshape([count, low_height, width]);
    ops::matmul(rows, wide).reshape([prompts, masks, height, width])
}

/// Matrix `[original, low]` in row-major order that resizes one axis from `low` to `image`, keeps
/// the first `input` values, and resizes these to `original`.
fn resize_axis(low: usize, image: usize, input: usize, original: usize) -> Vec<f32> {
    assert!(
        low > 0 && original > 0 && (1..=image).contains(&input),
        "post-processing cannot go from {low} over {input} of {image} to {original} pixels"
    );
    let mut matrix = vec![0.0; original * low];
    for (place, row) in matrix.chunks_exact_mut(low).enumerate() {
        for (middle, outer) in taps(place, input, original) {
            for (source, inner) in taps(middle, low, image) {
                row[source] += (outer * inner) as f32;
            }
        }
    }
    matrix
}

/// Source indices and weights of a bilinear resize without aligned corners.
fn taps(place: usize, from: usize, to: usize) -> [(usize, f64); 2] {
    let centre = ((place as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
    let first = (centre as usize).min(from - 1);
    let second = (first + 1).min(from - 1);
    let weight = centre - first as f64;
    [(first, 1.0 - weight), (second, weight)]
}
