//! Rows written into a larger tensor.

use super::dispatch::BackendKind;
#[cfg(feature = "flex")]
use super::flex;
use burn::tensor::{Tensor, backend::Backend};

/// Whether a buffer should have room for rows to come, and how it is read then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// None: with gradients [`assign_rows`] copies.
    Never,
    /// Room, which is cut off to read what is there.
    CutOff,
    /// Room, which is read too, and masked: burn's kernels for GPUs take part of a buffer only where it ends at a multiple of
    /// hundreds of bytes, and it is copied elsewhere. The same number of rows for many steps also needs fewer kernels.
    Masked,
}

/// What suits a device.
pub fn room<B: Backend>(device: &B::Device) -> Room {
    match BackendKind::of::<B>(device) {
        kind if kind.has_gradients() => Room::Never,
        BackendKind::Gpu => Room::Masked,
        _ => Room::CutOff,
    }
}

/// `buffer` with `rows` in the place of its rows from `first` on. Without gradients, a buffer that nothing else holds is
/// written in place: on the CPU backend, where burn's own assignment copies it, by a form of its own.
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
