//! Biases of decomposed relative positions.

use burn::tensor::{Tensor, backend::Backend};

use super::input::RelativePosition;
use crate::{matmul, permute};

/// Computes the products of unscaled queries on a grid with the vectors of their distances to each
/// row and each column of keys, for [`attention`](crate::attention).
///
/// # Shapes
/// - query: `[batch, heads, height * width, d]`
/// - rows: `[height, rows of keys, d]`
/// - columns: `[width, columns of keys, d]`
///
/// # Panics
/// When the shapes do not fit one another.
pub fn relative_position<B: Backend>(
    query: Tensor<B, 4>,
    rows: Tensor<B, 3>,
    columns: Tensor<B, 3>,
) -> RelativePosition<B> {
    #[cfg(feature = "flex")]
    let (query, rows, columns) = match crate::flex::relative_position(query, rows, columns) {
        Ok(position) => return position,
        Err(inputs) => inputs,
    };
    composed(query, rows, columns)
}

/// Composed form. All pictures, windows and heads share the table of a position, so each row or
/// column is a single matrix product over all of them.
pub(crate) fn composed<B: Backend>(
    query: Tensor<B, 4>,
    rows: Tensor<B, 3>,
    columns: Tensor<B, 3>,
) -> RelativePosition<B> {
    let [batch, heads, tokens, dim] = query.dims();
    let ([height, down, _], [width, across, _]) = (rows.dims(), columns.dims());
    let (rows, columns) = (rows.swap_dims(1, 2), columns.swap_dims(1, 2));
    let query = permute(query, [0, 1, 2, 3]).reshape([batch * heads, height, width, dim]);
    let by_row = permute(query.clone(), [1, 0, 2, 3]).reshape([height, batch * heads * width, dim]);
    let by_row = matmul(by_row, rows).reshape([height, batch * heads, width, down]);
    let by_column = permute(query, [2, 0, 1, 3]).reshape([width, batch * heads * height, dim]);
    let by_column = matmul(by_column, columns).reshape([width, batch * heads, height, across]);
    let by_row = permute(by_row, [1, 0, 2, 3]);
    let by_column = permute(by_column, [1, 2, 0, 3]);
    RelativePosition {
        height: by_row.reshape([batch, heads, tokens, down]),
        width: by_column.reshape([batch, heads, tokens, across]),
    }
}
