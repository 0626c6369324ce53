//! Features of regions in Sa2VA: the tokens of the whole picture that lie inside.

use anyref_decoder::rle::Rle;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use crate::AnyRef;
use crate::picture::Picture;

/// Region of a picture, in its pixels.
#[derive(Debug, Clone, Copy)]
pub enum TokenArea<'a> {
    /// Box `[x0, y0, x1, y1]`.
    Box([f32; 4]),
    /// Mask of the picture's size.
    Mask(&'a Rle),
}

impl<B: Backend> AnyRef<B> {
    /// Tokens of the whole picture whose places lie in a region, `[1, tokens, hidden]`, at least
    /// one.
    pub(crate) fn region_tokens(&self, picture: &Picture<B>, area: TokenArea) -> Tensor<B, 3> {
        let tokens = &picture.features.tokens;
        let [_, all, _] = tokens.dims();
        let side = self.config.vision_tower.grid_size();
        let first = all - side * side;
        let places = region_cells(area, picture.size(), side).into_iter();
        let places: Vec<i32> = places.map(|cell| (first + cell) as i32).collect();
        let count = places.len();
        let places =
            Tensor::<B, 1, Int>::from_data(TensorData::new(places, [count]), self.device());
        tokens.clone().select(1, places)
    }
}

/// Cells of a `side` by `side` grid, row by row, whose first pixel is in a region of a picture of
/// width and height `size`: the region as a mask that is shrunk by nearest neighbours, as Sa2VA
/// shrinks masks. A region between them has the cell of its centre.
pub fn region_cells(area: TokenArea<'_>, size: (u32, u32), side: usize) -> Vec<usize> {
    match area {
        TokenArea::Box(region) => box_cells(region, size, side),
        TokenArea::Mask(mask) => mask_cells(mask, size, side),
    }
}

/// First pixel of a cell along a picture of `length` pixels.
fn first_pixel(cell: usize, length: u32, side: usize) -> usize {
    cell * length as usize / side
}

fn box_cells([x0, y0, x1, y1]: [f32; 4], (width, height): (u32, u32), side: usize) -> Vec<usize> {
    let inside = |from: f32, to: f32, length: u32| {
        let centre = move |cell: usize| first_pixel(cell, length, side) as f32 + 0.5;
        (0..side).filter(move |&cell| (from..to).contains(&centre(cell)))
    };
    let columns: Vec<usize> = inside(x0, x1, width).collect();
    let rows = inside(y0, y1, height);
    let cells: Vec<usize> = rows
        .flat_map(|row| columns.iter().map(move |column| row * side + column))
        .collect();
    match cells.is_empty() {
        true => vec![cell_at(
            [(x0 + x1) / 2.0, (y0 + y1) / 2.0],
            (width, height),
            side,
        )],
        false => cells,
    }
}

fn mask_cells(mask: &Rle, (width, height): (u32, u32), side: usize) -> Vec<usize> {
    let pixels = mask.to_mask();
    let columns = width as usize;
    let place = |cell: &usize| {
        let row = first_pixel(cell / side, height, side);
        row * columns + first_pixel(cell % side, width, side)
    };
    let inside = |cell: &usize| pixels.get(place(cell)).is_some_and(|&inside| inside);
    let cells: Vec<usize> = (0..side * side).filter(inside).collect();
    if !cells.is_empty() {
        return cells;
    }
    let mut sum = [0.0; 2];
    let mut count = 0.0_f64;
    for (index, _) in pixels.iter().enumerate().filter(|(_, inside)| **inside) {
        sum[0] += (index % columns.max(1)) as f64 + 0.5;
        sum[1] += (index / columns.max(1)) as f64 + 0.5;
        count += 1.0;
    }
    let centre = sum.map(|sum| (sum / count.max(1.0)) as f32);
    vec![cell_at(centre, (width, height), side)]
}

/// Cell with a point in it.
fn cell_at([x, y]: [f32; 2], (width, height): (u32, u32), side: usize) -> usize {
    let at = |place: f32, length: u32| {
        let share = place / length.max(1) as f32;
        ((share * side as f32) as usize).min(side - 1)
    };
    at(y, height) * side + at(x, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_those_of_the_mask_shrunk_by_nearest_neighbours() {
        let cells = |region, size, side| region_cells(TokenArea::Box(region), size, side);
        // A row of pixels 0, 15, 30 and 45 is read, and a column of 0, 10, 20 and 30.
        assert_eq!(cells([10.0, 5.0, 40.0, 25.0], (60, 40), 4), [5, 6, 9, 10]);
        assert_eq!(cells([0.0, 0.0, 60.0, 40.0], (60, 40), 2), [0, 1, 2, 3]);
        // Between the pixels that are read.
        assert_eq!(cells([16.0, 11.0, 20.0, 14.0], (60, 40), 4), [5]);
        assert_eq!(cells([59.0, 39.0, 60.0, 40.0], (60, 40), 4), [15]);
    }

    #[test]
    fn masks_of_boxes_have_their_cells_and_others_their_own() {
        let (width, height) = (60, 40);
        let mask = |inside: &dyn Fn(usize, usize) -> bool| {
            let pixels: Vec<bool> = (0..width * height)
                .map(|index| inside(index % width, index / width))
                .collect();
            Rle::from_mask(&pixels, [height, width]).unwrap()
        };
        let size = (width as u32, height as u32);
        for [x0, y0, x1, y1] in [[10, 5, 40, 25], [0, 0, 60, 40], [16, 11, 20, 14]] {
            let boxed = mask(&|x, y| (x0..x1).contains(&x) && (y0..y1).contains(&y));
            let region = [x0, y0, x1, y1].map(|at| at as f32);
            for side in [3, 4, 16] {
                let found = region_cells(TokenArea::Mask(&boxed), size, side);
                assert_eq!(found, region_cells(TokenArea::Box(region), size, side));
            }
        }
        // Two corners, with nothing between them.
        let corners = mask(&|x, y| (x < 20 && y < 15) || (x >= 40 && y >= 25));
        let cells = region_cells(TokenArea::Mask(&corners), size, 4);
        assert_eq!(cells, [0, 1, 4, 5, 15]);
        assert_eq!(
            region_cells(TokenArea::Mask(&mask(&|_, _| false)), size, 4),
            [0]
        );
    }
}
