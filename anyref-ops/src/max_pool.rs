//! Maxima over cells of a grid.

use burn::tensor::{Tensor, backend::Backend};

/// Maximum of each 2 × 2 cells; an odd last row or column is left out
/// (`torch.nn.functional.max_pool2d` with kernel and stride 2). On the CPU all threads compute it,
/// in one pass.
///
/// # Shapes
/// - x: `[batch, height, width, channels]`
/// - output: `[batch, height / 2, width / 2, channels]`
///
/// # Panics
/// When the grid has a single row or column.
pub fn max_pool_2x2<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    #[cfg(feature = "flex")]
    let x = match super::flex::max_pool_2x2(x) {
        Ok(y) => return y,
        Err(x) => x,
    };
    let [batch, height, width, channels] = x.dims();
    let (rows, columns) = (height / 2, width / 2);
    let x = match [2 * rows, 2 * columns] == [height, width] {
        true => x,
        false => x.slice([0..batch, 0..2 * rows, 0..2 * columns, 0..channels]),
    };
    let pairs = x.reshape([batch * rows, 2, 2 * columns * channels]);
    let x = pairs
        .clone()
        .narrow(1, 0, 1)
        .max_pair(pairs.narrow(1, 1, 1));
    let pairs = x.reshape([batch * rows * columns, 2, channels]);
    let x = pairs
        .clone()
        .narrow(1, 0, 1)
        .max_pair(pairs.narrow(1, 1, 1));
    x.reshape([batch, rows, columns, channels])
}
