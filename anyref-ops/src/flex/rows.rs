//! Rows written into a larger tensor, in place.

use super::buffer::{all_f32, values};
use super::contiguous::contiguous;
use crate::dispatch::{FlexKind, from_primitive, to_primitive};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn_flex::FlexTensor;

/// Writes `rows` into `buffer` from row `first` on, or returns the arguments.
#[allow(clippy::type_complexity)]
pub(crate) fn assign_rows<B: Backend>(
    buffer: Tensor<B, 4>,
    first: usize,
    rows: Tensor<B, 4>,
) -> Result<Tensor<B, 4>, (Tensor<B, 4>, Tensor<B, 4>)> {
    let [batch, heads, length, dim] = buffer.dims();
    let [.., count, _] = rows.dims();
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && all_f32(&[buffer.dtype(), rows.dtype()])
        && rows.dims() == [batch, heads, count, dim]
        && first + count <= length
        && batch * heads * count * dim > 0;
    if !fits {
        return Err((buffer, rows));
    }
    // Without `contiguous`, a view into a larger buffer would be copied whole by `storage_mut`.
    let mut buffer: FlexTensor = contiguous(to_primitive(buffer));
    let rows: FlexTensor = contiguous(to_primitive(rows));
    let heads = buffer.storage_mut::<f32>().chunks_exact_mut(length * dim);
    for (head, rows) in heads.zip(values(&rows).chunks_exact(count * dim)) {
        head[first * dim..][..count * dim].copy_from_slice(rows);
    }
    Ok(from_primitive(buffer))
}
