//! Rows written into a larger tensor.

#[cfg(feature = "flex")]
use super::flex;
use burn::tensor::{Tensor, backend::Backend};

/// Whether [`assign_rows`] writes in place on this backend; elsewhere room to write to gains nothing.
pub fn assigns_rows_in_place<B: Backend>() -> bool {
    #[cfg(feature = "flex")]
    if flex::route::<B>() == Some(flex::Route::Inference) {
        return true;
    }
    false
}

/// `buffer` with `rows` in the place of its rows from `first` on. On the CPU backend, without gradients, a buffer that
/// nothing else holds is written in place; burn's own assignment copies it.
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
