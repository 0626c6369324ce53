//! Cells of a feature grid that one object covers, each with its name.

use burn::tensor::{Int, Tensor, backend::Backend};

use super::context::indices;

/// Share of a cell that an object must cover for the cell to have its name.
const COVERED: f32 = 0.5;

/// Cells of some scenes that have a name.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Indices into the cells of all scenes.
    rows: Vec<usize>,
    names: Vec<usize>,
}

impl Cells {
    /// Adds the cells of scene `scene` that an object with this name covers; `shares` are the
    /// covered shares of the grid's cells.
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

    /// Features of the cells and their names; `None` without cells.
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
