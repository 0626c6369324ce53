//! Rows written into a larger tensor.

#[cfg(feature = "flex")]
use super::flex;
use burn::tensor::{Tensor, backend::Backend};

/// Whether [`assign_rows`] writes in place on a device; elsewhere room to write to gains nothing.
pub fn assigns_rows_in_place<B: Backend>(device: &B::Device) -> bool {
    !B::ad_enabled(device)
}

/// `buffer` with `rows` in the place of its rows from `first` on. Without gradients, a buffer that nothing else holds is
/// written in place: on GPUs by burn's own assignment, which copies it on the CPU backend.
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
