//! Position embedding of windows added to that of the whole picture (Bolya et al., *Window
//! Attention is Bugged*, ICLR 2024, arXiv 2311.05613).

use anyref_ops as ops;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

/// Coefficient of PyTorch's bicubic interpolation.
const A: f64 = -0.75;

/// Stretches the background table over the grid, and adds the window's table, repeated.
///
/// # Shapes
/// - background: `[1, channels, rows, columns]`
/// - window: `[1, channels, side, side]`, whose side divides the grid's
/// - output: `[1, height, width, channels]`
pub(super) fn windowed<B: Backend>(
    background: Tensor<B, 4>,
    window: Tensor<B, 4>,
    [height, width]: [usize; 2],
) -> Tensor<B, 4> {
    let [_, channels, rows, columns] = background.dims();
    let [_, _, side, _] = window.dims();
    let (device, dtype) = (background.device(), background.dtype());
    let axis = |from: usize, to: usize| {
        let matrix = TensorData::new(stretching(from, to), [to, from]);
        Tensor::<B, 2>::from_data(matrix, (&device, DType::F32))
    };
    // Interpolates rows, then columns; channels stay last.
    let table = ops::permute(background.cast(DType::F32), [0, 2, 3, 1]);
    let table = ops::matmul(
        axis(rows, height),
        table.reshape([rows, columns * channels]),
    );
    let table = ops::permute(table.reshape([height, columns, channels]), [1, 0, 2]);
    let table = ops::matmul(
        axis(columns, width),
        table.reshape([columns, height * channels]),
    );
    let table = ops::permute(table.reshape([width, height, channels]), [1, 0, 2]);
    let table = table.reshape([1, height, width, channels]).cast(dtype);
    let window = ops::permute(window, [0, 2, 3, 1]);
    let windows = ops::Windows::new([height, width], side);
    windows.merge(ops::add_shared(windows.partition(table), window))
}

/// Matrix `[to, from]` in row-major order of bicubic interpolation without aligned corners, with
/// edge pixels repeated (`torch.nn.functional.interpolate`, `mode="bicubic"`).
fn stretching(from: usize, to: usize) -> Vec<f32> {
    let mut matrix = vec![0.0_f32; to * from];
    let scale = from as f64 / to as f64;
    for (target, row) in matrix.chunks_exact_mut(from).enumerate() {
        let centre = (target as f64 + 0.5) * scale - 0.5;
        let first = centre.floor();
        for tap in -1..=2 {
            let source = (first as i64 + tap).clamp(0, from as i64 - 1);
            row[source as usize] += cubic(centre - first - tap as f64) as f32;
        }
    }
    matrix
}

/// Keys' cubic kernel.
fn cubic(distance: f64) -> f64 {
    match distance.abs() {
        x if x <= 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_its_own_size_is_itself_and_constants_stay() {
        assert_eq!(stretching(2, 2), [1.0, 0.0, 0.0, 1.0]);
        for row in stretching(7, 16).chunks_exact(7) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
        }
    }
}
