//! Tensors of f32 as buffers, and buffers filled in parallel.

use core::mem::MaybeUninit;

use burn::tensor::{DType, Shape, TensorData};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Creates a tensor that owns `values`.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Values of a contiguous tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.storage()
}

/// Returns whether every dtype is f32.
pub(crate) fn all_f32(dtypes: &[DType]) -> bool {
    dtypes.iter().all(|&dtype| dtype == DType::F32)
}

/// Below this many values a loop runs on the calling thread, since waking another takes longer.
pub(crate) const SMALL: usize = 16 * 1024;

/// Calls `change` with each chunk of a buffer and its index, in parallel where there are many
/// values.
pub(crate) fn for_each_chunk<T: Send>(
    values: &mut [T],
    chunk: usize,
    change: impl Fn(usize, &mut [T]) + Sync,
) {
    match values.len() <= SMALL.max(chunk) {
        true => {
            let chunks = values.chunks_mut(chunk).enumerate();
            chunks.for_each(|(index, values)| change(index, values));
        }
        false => {
            let chunks = values.par_chunks_mut(chunk).enumerate();
            chunks.for_each(|(index, values)| change(index, values));
        }
    }
}

/// Creates a buffer that `fill` writes, without clearing it first.
///
/// # Safety
/// `fill` must write every value.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    fill(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is there, and the caller guarantees that all is written.
    unsafe { values.set_len(len) };
    values
}

/// Creates a buffer of `len` zeros and calls `fill` with each chunk and its index, in parallel.
/// Threads clear the chunks that they fill, which are in their caches then.
pub(crate) fn fill_chunks(
    len: usize,
    chunk: usize,
    fill: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let all = |values: &mut [MaybeUninit<f32>]| {
        for_each_chunk(values, chunk, |index, values| {
            values.fill(MaybeUninit::new(0.0));
            // SAFETY: all values are written.
            let values = unsafe { &mut *(values as *mut [MaybeUninit<f32>] as *mut [f32]) };
            fill(index, values);
        });
    };
    // SAFETY: every chunk is cleared.
    unsafe { filled(len, all) }
}

/// Creates a buffer of zeros, which all threads clear.
pub(crate) fn zeros(len: usize) -> Vec<f32> {
    /// Values of a task.
    const CHUNK: usize = 64 * 1024;
    fill_chunks(len, CHUNK, |_, _| ())
}
