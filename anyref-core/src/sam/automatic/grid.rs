//! Evenly spaced points over a picture.

/// Square grid of points, `side` along each side, as shares of the picture's width and height, in
/// row-major order (`build_point_grid`).
#[derive(Debug, Clone, Copy)]
pub(super) struct PointGrid {
    side: usize,
}

impl PointGrid {
    /// Creates a grid of `side` × `side` points.
    pub(super) fn new(side: usize) -> Self {
        Self { side }
    }

    /// Number of points.
    pub(super) fn len(self) -> usize {
        self.side * self.side
    }

    /// Points `[x, y]` of an index range, in pixels of a picture of this height and width.
    pub(super) fn pixels(
        self,
        range: std::ops::Range<usize>,
        [height, width]: [usize; 2],
    ) -> Vec<[f64; 2]> {
        let point = |index: usize| {
            let (row, column) = (index / self.side, index % self.side);
            [
                self.share(column) * width as f64,
                self.share(row) * height as f64,
            ]
        };
        range.map(point).collect()
    }

    /// Coordinate of a row or column, like numpy's `linspace` from `1 / 2n` to `1 - 1 / 2n`.
    fn share(self, index: usize) -> f64 {
        let first = 1.0 / (2 * self.side) as f64;
        let last = 1.0 - first;
        match index {
            0 => first,
            index if index + 1 == self.side => last,
            index => index as f64 * ((last - first) / (self.side - 1) as f64) + first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_in_the_middle_of_equal_cells() {
        let grid = PointGrid::new(2);
        assert_eq!(grid.len(), 4);
        assert_eq!(
            grid.pixels(1..4, [40, 100]),
            [[75.0, 10.0], [25.0, 30.0], [75.0, 30.0]]
        );
        assert_eq!(PointGrid::new(1).pixels(0..1, [3, 5]), [[2.5, 1.5]]);
    }
}
