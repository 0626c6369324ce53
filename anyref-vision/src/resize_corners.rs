//! Bilinear resizing of feature maps by which corners stay corners (torch's `interpolate` with
//! `align_corners=True`).

use anyref_ops as ops;
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Resizes maps to `height` × `width` cells, as two products with matrices made on the host.
///
/// # Shapes
/// - maps: `[batch, channels, rows, columns]`
/// - output: `[batch, channels, height, width]`
pub(crate) fn resize_corners<B: Backend>(
    maps: Tensor<B, 4>,
    [height, width]: [usize; 2],
) -> Tensor<B, 4> {
    let [_, _, rows, columns] = maps.dims();
    if [rows, columns] == [height, width] {
        return maps;
    }
    let (device, dtype) = (maps.device(), maps.dtype());
    let matrix = |from: usize, to: usize| {
        let data = TensorData::new(weights(from, to), [1, 1, to, from]);
        Tensor::<B, 4>::from_data(data, (&device, dtype))
    };
    let across = matrix(columns, width).swap_dims(2, 3);
    ops::matmul(matrix(rows, height), ops::matmul(maps, across))
}

/// Weights `[to, from]` of one side.
fn weights(from: usize, to: usize) -> Vec<f32> {
    let step = match to {
        0 | 1 => 0.0,
        _ => (from - 1) as f32 / (to - 1) as f32,
    };
    let mut weights = vec![0.0; to * from];
    for (index, row) in weights.chunks_exact_mut(from).enumerate() {
        let position = index as f32 * step;
        let low = (position as usize).min(from - 1);
        let high = (low + 1).min(from - 1);
        let share = position - low as f32;
        row[low] += 1.0 - share;
        row[high] += share;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::weights;

    #[test]
    fn corners_stay_corners() {
        assert_eq!(weights(2, 3), [1.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
        assert_eq!(weights(3, 1), [1.0, 0.0, 0.0]);
        assert_eq!(weights(1, 2), [1.0, 1.0]);
        let down = weights(5, 3);
        assert_eq!(
            down,
            [
                1.0, 0.0, 0.0, 0.0, 0.0, //
                0.0, 0.0, 1.0, 0.0, 0.0, //
                0.0, 0.0, 0.0, 0.0, 1.0,
            ]
        );
    }
}
