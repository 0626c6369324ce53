//! Decomposed relative positions: one table for rows, one for columns.

use anyref_ops as ops;
use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Interpolates a table linearly along its first dimension (`align_corners` off) to another length,
/// as a matrix product so that it is differentiable on every backend.
///
/// # Shapes
/// - table: `[2 * trained_length - 1, head_dim]`
/// - output: `[length, head_dim]`
pub(super) fn resize<B: Backend>(table: Tensor<B, 2>, length: usize) -> Tensor<B, 2> {
    let [rows, _] = table.dims();
    if rows == length {
        return table;
    }
    let scale = rows as f32 / length as f32;
    let mut weights = vec![0.0f32; length * rows];
    for (target, row) in weights.chunks_exact_mut(rows).enumerate() {
        let source = (scale * (target as f32 + 0.5) - 0.5).max(0.0);
        let low = (source as usize).min(rows - 1);
        let high = (low + 1).min(rows - 1);
        let fraction = source - low as f32;
        row[low] += 1.0 - fraction;
        row[high] += fraction;
    }
    let weights =
        Tensor::<B, 2>::from_data(TensorData::new(weights, [length, rows]), &table.device());
    ops::matmul(weights.cast(table.dtype()), table)
}
