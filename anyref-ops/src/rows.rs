//! Rows written into a larger tensor.

use super::dispatch::BackendKind;
#[cfg(feature = "flex")]
use super::flex;
use burn::tensor::{Int, Tensor, backend::Backend};

/// Capacity of a buffer of keys or values beyond the rows stored in it, and the way it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheCapacity {
    /// Exactly the stored rows; with gradients [`assign_rows`] copies.
    Exact,
    /// More than the stored rows; a slice is read.
    Sliced,
    /// More than the stored rows, read as a whole under a mask: burn's GPU kernels take a slice of
    /// a buffer only if it ends at a multiple of hundreds of bytes, and copy it otherwise. A
    /// constant number of rows over many steps also needs fewer kernels.
    Masked,
}

impl CacheCapacity {
    /// Capacity that suits a device.
    pub fn of<B: Backend>(device: &B::Device) -> Self {
        match BackendKind::of::<B>(device) {
            kind if kind.has_gradients() => Self::Exact,
            BackendKind::Gpu => Self::Masked,
            _ => Self::Sliced,
        }
    }
}

/// Writes `rows` into `buffer` from row `first` on. Without gradients, a uniquely owned buffer is
/// written in place; on the CPU backend, where burn's own assignment copies it, by a fused form.
///
/// # Shapes
/// - buffer and output: `[batch, heads, length, dim]`
/// - rows: `[batch, heads, count, dim]`, `first + count <= length`
///
/// # Panics
/// When the rows reach past the end of the buffer.
pub fn assign_rows<B: Backend>(
    buffer: Tensor<B, 4>,
    first: usize,
    rows: Tensor<B, 4>,
) -> Tensor<B, 4> {
    #[cfg(feature = "flex")]
    let (buffer, rows) = match flex::assign_rows(buffer, first, rows) {
        Ok(buffer) => return buffer,
        Err(inputs) => inputs,
    };
    let [batch, heads, count, dim] = rows.dims();
    buffer.slice_assign([0..batch, 0..heads, first..first + count, 0..dim], rows)
}

/// As [`assign_rows`], of words of i32.
pub(crate) fn assign_words<B: Backend>(
    buffer: Tensor<B, 4, Int>,
    first: usize,
    rows: Tensor<B, 4, Int>,
) -> Tensor<B, 4, Int> {
    #[cfg(feature = "flex")]
    let (buffer, rows) = match flex::assign_words(buffer, first, rows) {
        Ok(buffer) => return buffer,
        Err(inputs) => inputs,
    };
    let [batch, heads, count, dim] = rows.dims();
    buffer.slice_assign([0..batch, 0..heads, first..first + count, 0..dim], rows)
}

/// Copies the rows of each batch entry and one more after them; on the processor without gradients
/// all threads copy, from a view too.
///
/// # Shapes
/// - x: `[batch, rows, d]`
/// - row: `[1, 1, d]`
/// - output: `[batch, rows + 1, d]`
pub fn append_row<B: Backend>(x: Tensor<B, 3>, row: Tensor<B, 3>) -> Tensor<B, 3> {
    #[cfg(feature = "flex")]
    let (x, row) = match super::flex::append_row(x, row) {
        Ok(rows) => return rows,
        Err(inputs) => inputs,
    };
    let [batch, _, width] = x.dims();
    Tensor::cat(vec![x, row.expand([batch, 1, width])], 1)
}
