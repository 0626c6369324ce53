//! Features of regions in Sa2VA: the tokens of the whole picture that lie inside.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::AnyRef;
use crate::picture::Picture;

impl<B: Backend> AnyRef<B> {
    /// Tokens of the whole picture whose places lie in a box, `[1, tokens, hidden]`, at least one.
    pub(crate) fn region_tokens(&self, picture: &Picture<B>, region: [f32; 4]) -> Tensor<B, 3> {
        let tokens = &picture.features.tokens;
        let [_, all, _] = tokens.dims();
        let side = self.config.vision_tower.grid_size();
        let first = all - side * side;
        let places = cells(region, picture.size(), side).into_iter();
        let places: Vec<i32> = places.map(|cell| (first + cell) as i32).collect();
        let count = places.len();
        let places =
            Tensor::<B, 1, Int>::from_data(TensorData::new(places, [count]), self.device());
        tokens.clone().select(1, places)
    }
}

/// Cells of a `side` by `side` grid whose first pixel is in a box: the box as a mask that is shrunk
/// by nearest neighbours, as Sa2VA shrinks masks. A box between them has the cell of its centre.
fn cells([x0, y0, x1, y1]: [f32; 4], (width, height): (u32, u32), side: usize) -> Vec<usize> {
    let inside = |from: f32, to: f32, length: u32| {
        let pixel = move |cell: usize| (cell * length as usize / side) as f32 + 0.5;
        (0..side).filter(move |&cell| (from..to).contains(&pixel(cell)))
    };
    let columns: Vec<usize> = inside(x0, x1, width).collect();
    let rows = inside(y0, y1, height);
    let cells: Vec<usize> = rows
        .flat_map(|row| columns.iter().map(move |column| row * side + column))
        .collect();
    if !cells.is_empty() {
        return cells;
    }
    let at = |from: f32, to: f32, length: u32| {
        let share = (from + to) / 2.0 / length.max(1) as f32;
        ((share * side as f32) as usize).min(side - 1)
    };
    vec![at(y0, y1, height) * side + at(x0, x1, width)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_those_of_the_mask_shrunk_by_nearest_neighbours() {
        // A row of pixels 0, 15, 30 and 45 is read, and a column of 0, 10, 20 and 30.
        assert_eq!(cells([10.0, 5.0, 40.0, 25.0], (60, 40), 4), [5, 6, 9, 10]);
        assert_eq!(cells([0.0, 0.0, 60.0, 40.0], (60, 40), 2), [0, 1, 2, 3]);
        // Between the pixels that are read.
        assert_eq!(cells([16.0, 11.0, 20.0, 14.0], (60, 40), 4), [5]);
        assert_eq!(cells([59.0, 39.0, 60.0, 40.0], (60, 40), 4), [15]);
    }
}
