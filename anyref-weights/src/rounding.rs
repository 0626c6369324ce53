//! Values of a tensor, rounded to blocks.

use anyref_ops::blocks::{BlockError, BlockType, Blocks, quantize};
use burn::tensor::{DType, TensorData, bf16, f16};
use rayon::prelude::*;

/// Values in f32.
pub(crate) fn widened(bytes: &[u8], dtype: DType) -> Vec<f32> {
    match dtype {
        DType::F32 => each(bytes, f32::from_ne_bytes),
        DType::F16 => each(bytes, |bytes| f16::from_ne_bytes(bytes).to_f32()),
        DType::BF16 => each(bytes, |bytes| bf16::from_ne_bytes(bytes).to_f32()),
        _ => {
            let count = bytes.len() / dtype.size();
            let data = TensorData::from_bytes_vec(bytes.to_vec(), [count], dtype);
            data.iter::<f32>().collect()
        }
    }
}

fn each<const N: usize>(bytes: &[u8], value: fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<N>();
    values.iter().map(|&bytes| value(bytes)).collect()
}

/// Rounds a matrix `[rows, columns]`, several rows at once.
///
/// # Errors
/// When rows are no whole blocks, or the format is not written.
pub(crate) fn rounded(
    data: &TensorData,
    block_type: BlockType,
    [rows, columns]: [usize; 2],
) -> Result<Blocks<'static>, BlockError> {
    let row = block_type.row_bytes(columns).ok_or(BlockError::Row {
        columns,
        block_type,
    })?;
    let mut blocks = vec![0u8; rows * row];
    let values = data.as_bytes();
    let values = values.par_chunks((columns * data.dtype.size()).max(1));
    (blocks.par_chunks_mut(row.max(1)).zip(values)).try_for_each(|(blocks, values)| {
        let rounded = quantize(&widened(values, data.dtype), block_type)?;
        blocks.copy_from_slice(&rounded);
        Ok::<(), BlockError>(())
    })?;
    Blocks::new(block_type, [rows, columns], blocks)
}
