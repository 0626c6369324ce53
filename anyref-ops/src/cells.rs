//! Maps as rows of cells, and pictures of their pixels.

use burn::tensor::{Tensor, backend::Backend};

use crate::{add_shared, permute, permuted_sum, short_columns};

/// Reshapes a map to rows of cells.
///
/// # Shapes
/// - map: `[n, d, height, width]`
/// - output: `[n, height * width, d]`
pub fn cells<B: Backend>(map: Tensor<B, 4>) -> Tensor<B, 3> {
    let [batch, dim, height, width] = map.dims();
    permute(map, [0, 2, 3, 1]).reshape([batch, height * width, dim])
}

/// Reshapes rows of [`cells`] to their map again, as a view.
///
/// # Shapes
/// - cells: `[n, height * width, d]`
/// - output: `[n, d, height, width]`
pub fn map_of_cells<B: Backend>(cells: Tensor<B, 3>, [height, width]: [usize; 2]) -> Tensor<B, 4> {
    let [batch, _, dim] = cells.dims();
    let map = cells.reshape([batch, height, width, dim]);
    map.permute([0, 3, 1, 2])
}

/// Computes the [`cells`] of the sum of two maps. On GPUs without gradients it takes one launch.
///
/// # Shapes
/// - maps: `[n or 1, d, height, width]`
/// - output: `[n, height * width, d]`
pub fn cell_sum<B: Backend>(x: Tensor<B, 4>, y: Tensor<B, 4>) -> Tensor<B, 3> {
    #[cfg(feature = "cube")]
    if let Some(sum) = crate::cube::cell_sum(&x, &y) {
        return sum;
    }
    let [batch, dim, height, width] = x.dims();
    match y.dims()[0] == batch {
        true => permuted_sum(x, y, [0, 2, 3, 1]).reshape([batch, height * width, dim]),
        false => add_shared(cells(x), cells(y)),
    }
}

/// Concatenates rows for a batch, repeating those of a batch of one. On GPUs without gradients up
/// to four tensors take one launch.
///
/// # Shapes
/// - tensors: `[batch or 1, rows, d]`
/// - output: `[batch, all rows, d]`
///
/// # Panics
/// When there is no tensor.
pub fn joined_rows<B: Backend>(tensors: Vec<Tensor<B, 3>>, batch: usize) -> Tensor<B, 3> {
    #[cfg(feature = "cube")]
    if let Some(joined) = crate::cube::joined_rows(&tensors, batch) {
        return joined;
    }
    let repeated = tensors.into_iter().map(|tensor| {
        let [_, rows, dim] = tensor.dims();
        tensor.expand([batch, rows, dim])
    });
    Tensor::cat(repeated.collect(), 1)
}

/// Reorders the 16 pixels of each cell, in the order (y₁, x₁, y₂, x₂), to rows and columns: halves
/// of the cell first, then halves of these.
///
/// # Shapes
/// - values: `[batch, n, height * width * 16]`
/// - output: `[batch, n, 4 * height, 4 * width]`
pub fn picture_order<B: Backend>(
    values: Tensor<B, 3>,
    [height, width]: [usize; 2],
) -> Tensor<B, 4> {
    let [batch, count, _] = values.dims();
    let cells = values.reshape([batch * count, height, width, 2, 2, 2, 2]);
    let rows = permute(cells, [0, 1, 3, 5, 2, 4, 6]);
    rows.reshape([batch, count, height * 4, width * 4])
}

/// Computes `x · pixelsᵀ` in [`picture_order`]. On GPUs without gradients it takes one launch for
/// up to 8 rows and up to 64 channels.
///
/// # Shapes
/// - x: `[batch, n, d]`
/// - pixels: `[batch, height * width * 16, d]`
/// - output: `[batch, n, 4 * height, 4 * width]`
pub fn pixel_products<B: Backend>(
    x: Tensor<B, 3>,
    pixels: Tensor<B, 3>,
    [height, width]: [usize; 2],
) -> Tensor<B, 4> {
    #[cfg(feature = "cube")]
    if let Some(products) = crate::cube::short_columns(&x, &pixels, Some(width)) {
        let [batch, count, _] = products.dims();
        return products.reshape([batch, count, height * 4, width * 4]);
    }
    picture_order(short_columns(x, pixels), [height, width])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn_flex::Flex;

    use super::*;
    use crate::testing::{assert_close, random};

    #[test]
    fn maps_and_their_cells_are_inverse() {
        let map = random::<Flex, 4>([2, 6, 3, 5], 1, &Default::default());
        let rows = cells(map.clone());
        assert_eq!(rows.dims(), [2, 15, 6]);
        // Channel 4 of the cell in row 1 and column 2.
        let value = |x: Tensor<Flex, 1>| x.into_scalar();
        let of_map = map.clone().slice([1..2, 4..5, 1..2, 2..3]).flatten(0, 3);
        let of_rows = rows.clone().slice([1..2, 7..8, 4..5]).flatten(0, 2);
        assert_eq!(value(of_map), value(of_rows));
        assert_close(&map_of_cells(rows, [3, 5]), &map, 0.0);
    }

    #[test]
    fn sums_and_joined_rows_repeat_what_a_batch_shares() {
        let device = Default::default();
        let map = random::<Flex, 4>([2, 6, 3, 5], 1, &device);
        let shared = random::<Flex, 4>([1, 6, 1, 1], 2, &device);
        let sum = cell_sum(map.clone(), shared.clone().expand([1, 6, 3, 5]));
        assert_close(&sum, &cells(map + shared), 0.0);
        let own = random::<Flex, 3>([1, 2, 6], 3, &device);
        let joined = joined_rows(vec![own.clone(), sum.clone()], 2);
        assert_close(&joined.clone().narrow(1, 0, 2), &own.expand([2, 2, 6]), 0.0);
        assert_close(&joined.narrow(1, 2, 15), &sum, 0.0);
    }
}
