//! Cells of a grid of features that one thing covers, each with its name.

use burn::tensor::{Int, Tensor, backend::Backend};

use super::context::indices;

/// Share of a cell that an object covers at least for the cell to bear its name.
const COVERED: f32 = 0.5;

/// The cells of some scenes that have a name.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Positions in the cells of all scenes.
    rows: Vec<usize>,
    names: Vec<usize>,
}

impl Cells {
    /// Adds the cells of scene `scene` that an object of this name covers by the `shares` of a
    /// grid.
    pub(super) fn push(&mut self, scene: usize, shares: &[f32], name: usize) {
        for (cell, &share) in shares.iter().enumerate() {
            if share > COVERED {
                self.rows.push(scene * shares.len() + cell);
                self.names.push(name);
            }
        }
    }

    /// Number of cells.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The features of the cells and their names, where there are any.
    ///
    /// # Shapes
    /// - features: `[scenes, cells of a grid, width]`
    /// - output: `[cells, width]`, `[cells]`
    pub(super) fn pick<B: Backend>(
        &self,
        features: Tensor<B, 3>,
    ) -> Option<(Tensor<B, 2>, Tensor<B, 1, Int>)> {
        if self.rows.is_empty() {
            return None;
        }
        let device = features.device();
        let picked = features
            .flatten::<2>(0, 1)
            .select(0, indices(&self.rows, &device));
        Some((picked, indices(&self.names, &device)))
    }
}
