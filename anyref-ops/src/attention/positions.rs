//! Products of queries with tables of relative positions.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use super::input::RelativePosition;
use crate::{matmul, permute};

/// Decomposed relative positions of queries on a grid to keys on the same grid (SAM's
/// `add_decomposed_rel_pos`): for query `(y, x)`, its products with the vectors of rows `y - key +
/// height - 1` and columns `x - key + width - 1` of the tables. Queries are not scaled.
///
/// Without gradients this is one kernel, on GPUs and on the processor. Otherwise each row or column
/// of queries is one product over all of the batch and heads, which share the tables.
///
/// # Shapes
/// - query: `[batch, heads, height · width, head_dim]`
/// - tables: `[2 · height - 1, head_dim]` for rows and `[2 · width - 1, head_dim]` for columns
///
/// # Panics
/// When the shapes are others.
pub fn relative_positions<B: Backend>(
    query: Tensor<B, 4>,
    [rows, columns]: [Tensor<B, 2>; 2],
    [height, width]: [usize; 2],
) -> RelativePosition<B> {
    let [_, _, tokens, dim] = query.dims();
    assert_eq!(tokens, height * width, "queries are a grid");
    assert_eq!(
        rows.dims(),
        [2 * height - 1, dim],
        "a vector for each distance of rows"
    );
    assert_eq!(
        columns.dims(),
        [2 * width - 1, dim],
        "a vector for each distance of columns"
    );
    #[cfg(feature = "cube")]
    if let Some([height, width]) =
        crate::cube::position_products(&query, [&rows, &columns], [height, width])
    {
        return RelativePosition { height, width };
    }
    let (rows, columns) = (pairwise(rows, height), pairwise(columns, width));
    #[cfg(feature = "flex")]
    let (query, rows, columns) = match crate::flex::relative_positions(query, rows, columns) {
        Ok(positions) => return positions,
        Err(inputs) => inputs,
    };
    composed(query, rows, columns)
}

/// Composed form, from the vectors of all pairs of rows and of columns.
///
/// # Shapes
/// - query: `[batch, heads, height · width, head_dim]`
/// - rows: `[height, rows of keys, head_dim]`
/// - columns: `[width, columns of keys, head_dim]`
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

/// Vectors of all pairs of positions along one side.
///
/// # Shapes
/// - table: `[2 · length - 1, head_dim]`
/// - output: `[length (queries), length (keys), head_dim]`
fn pairwise<B: Backend>(table: Tensor<B, 2>, length: usize) -> Tensor<B, 3> {
    let [_, dim] = table.dims();
    let device = table.device();
    let offsets: Vec<i64> = (0..length)
        .flat_map(|query| (0..length).map(move |key| (query + length - 1 - key) as i64))
        .collect();
    let offsets =
        Tensor::<B, 1, Int>::from_data(TensorData::new(offsets, [length * length]), &device);
    table.select(0, offsets).reshape([length, length, dim])
}
