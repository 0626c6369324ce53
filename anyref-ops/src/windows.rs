//! Non-overlapping windows over the grid of patches.

use super::permute;
use burn::tensor::{Tensor, backend::Backend};

/// Partition of a grid into square windows, padded with zeros at the bottom and right if necessary.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Side of a window.
    pub side: usize,
    /// Number of windows down and across.
    pub count: [usize; 2],
    /// Height and width of the grid before padding.
    pub grid: [usize; 2],
}

impl Windows {
    /// Windows of `side` over a grid.
    ///
    /// # Panics
    /// When `side` is 0.
    pub fn new(grid: [usize; 2], side: usize) -> Self {
        Self {
            side,
            count: grid.map(|length| length.div_ceil(side)),
            grid,
        }
    }

    /// Height and width of the padded grid.
    fn padded(&self) -> [usize; 2] {
        self.count.map(|count| count * self.side)
    }

    /// Cuts a grid into its windows.
    ///
    /// # Shapes
    /// - x: `[batch, height, width, channels]`
    /// - output: `[batch * windows, side, side, channels]`
    pub fn partition<B: Backend>(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        #[cfg(feature = "flex")]
        let x = match super::flex::partition_windows(x, self.side, self.count) {
            Ok(windows) => return windows,
            Err(x) => x,
        };
        let [batch, height, width, channels] = x.dims();
        let [padded_height, padded_width] = self.padded();
        let x = if [height, width] == [padded_height, padded_width] {
            x
        } else {
            // `Tensor::pad` fills with the backend's default type, which may differ from that of
            // `x`.
            let shape = [batch, padded_height, padded_width, channels];
            let zeros = Tensor::zeros(shape, (&x.device(), x.dtype()));
            zeros.slice_assign([0..batch, 0..height, 0..width, 0..channels], x)
        };
        let [down, across] = self.count;
        let cut = x.reshape([batch, down, self.side, across, self.side, channels]);
        permute(cut, [0, 1, 3, 2, 4, 5]).reshape([
            batch * down * across,
            self.side,
            self.side,
            channels,
        ])
    }

    /// Inverse of [`partition`](Self::partition); drops the padding.
    ///
    /// # Shapes
    /// - x: `[batch * windows, side, side, channels]`
    /// - output: `[batch, height, width, channels]`
    pub fn merge<B: Backend>(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        #[cfg(feature = "flex")]
        let x = match super::flex::merge_windows(x, self.count, self.grid) {
            Ok(grid) => return grid,
            Err(x) => x,
        };
        let [windows, _, _, channels] = x.dims();
        let [down, across] = self.count;
        let [height, width] = self.grid;
        let [padded_height, padded_width] = self.padded();
        let batch = windows / (down * across);
        let cut = x.reshape([batch, down, across, self.side, self.side, channels]);
        let x = permute(cut, [0, 1, 3, 2, 4, 5]).reshape([
            batch,
            padded_height,
            padded_width,
            channels,
        ]);
        if [height, width] == [padded_height, padded_width] {
            x
        } else {
            x.slice([0..batch, 0..height, 0..width, 0..channels])
        }
    }
}
