//! Rows written into a larger tensor, in place.

use super::contiguous::contiguous;
use crate::dispatch::{FlexKind, from_primitive, same, to_primitive};
use burn::tensor::backend::Backend;
use burn::tensor::{BasicOps, DType, Int, Tensor, TensorMetadata, bf16, f16};
use burn_flex::FlexTensor;

/// Whether rows fit into a buffer of a backend without gradients.
fn fit<B: Backend, K: BasicOps<B>>(
    buffer: &Tensor<B, 4, K>,
    first: usize,
    rows: &Tensor<B, 4, K>,
) -> bool {
    let [batch, heads, length, dim] = buffer.dims();
    let [.., count, _] = rows.dims();
    FlexKind::of::<B>() == Some(FlexKind::Inference)
        && buffer.dtype() == rows.dtype()
        && rows.dims() == [batch, heads, count, dim]
        && first + count <= length
        && batch * heads * count * dim > 0
}

/// Writes `rows` into `buffer` from row `first` on, or returns the arguments.
#[allow(clippy::type_complexity)]
pub(crate) fn assign_rows<B: Backend>(
    buffer: Tensor<B, 4>,
    first: usize,
    rows: Tensor<B, 4>,
) -> Result<Tensor<B, 4>, (Tensor<B, 4>, Tensor<B, 4>)> {
    let write = match buffer.dtype() {
        DType::F32 => assign::<f32>,
        DType::F16 => assign::<f16>,
        DType::BF16 => assign::<bf16>,
        _ => return Err((buffer, rows)),
    };
    if !fit(&buffer, first, &rows) {
        return Err((buffer, rows));
    }
    let (buffer, rows) = (to_primitive(buffer), to_primitive(rows));
    Ok(from_primitive(write(buffer, first, rows)))
}

/// As [`assign_rows`], of i32.
#[allow(clippy::type_complexity)]
pub(crate) fn assign_words<B: Backend>(
    buffer: Tensor<B, 4, Int>,
    first: usize,
    rows: Tensor<B, 4, Int>,
) -> Result<Tensor<B, 4, Int>, (Tensor<B, 4, Int>, Tensor<B, 4, Int>)> {
    if buffer.dtype() != DType::I32 || !fit(&buffer, first, &rows) {
        return Err((buffer, rows));
    }
    let (buffer, rows) = (same(buffer.into_primitive()), same(rows.into_primitive()));
    let assigned: FlexTensor = assign::<i32>(buffer, first, rows);
    Ok(Tensor::from_primitive(same(assigned)))
}

/// Values that lie in tensors.
trait Value: Copy {
    fn all(tensor: &FlexTensor) -> &[Self];
    fn all_mut(tensor: &mut FlexTensor) -> &mut [Self];
}

macro_rules! value {
    ($($type:ty),*) => {
        $(impl Value for $type {
            fn all(tensor: &FlexTensor) -> &[Self] {
                tensor.storage()
            }
            fn all_mut(tensor: &mut FlexTensor) -> &mut [Self] {
                tensor.storage_mut()
            }
        })*
    };
}

value!(f32, f16, bf16, i32);

fn assign<T: Value>(buffer: FlexTensor, first: usize, rows: FlexTensor) -> FlexTensor {
    let [.., length, dim] = buffer.shape().dims::<4>();
    let [.., count, _] = rows.shape().dims::<4>();
    // Without `contiguous`, a view into a larger buffer would be copied whole by `storage_mut`.
    let mut buffer = contiguous(buffer);
    let rows = contiguous(rows);
    let heads = T::all_mut(&mut buffer).chunks_exact_mut(length * dim);
    for (head, rows) in heads.zip(T::all(&rows).chunks_exact(count * dim)) {
        head[first * dim..][..count * dim].copy_from_slice(rows);
    }
    buffer
}
