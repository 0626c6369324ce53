//! Rows of several tensors, cells of maps, and positions of grids.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};

use super::{allowed, assert_near, each_type, numbers, tensor};
use crate::cube::calls::{cell_sum, grid_sinusoids, joined_rows};

/// One tensor and several, with one row for a batch and one for each.
pub(super) fn rows_are_joined<B: Backend>() {
    let (batch, width) = (3, 5);
    each_type::<B>(|dtype| {
        for shapes in [
            vec![[3, 1]],
            vec![[1, 1], [1, 4], [3, 2]],
            vec![[3, 2], [1, 7], [3, 1], [1, 3]],
        ] {
            let parts = shapes.iter().enumerate().map(|(seed, &[of, rows])| {
                let values = numbers(of * rows * width, seed as u64);
                let x = tensor::<B, 3>(&values, [of, rows, width], dtype);
                (values, x)
            });
            let (values, parts): (Vec<_>, Vec<_>) = parts.unzip();
            let mut expected = Vec::new();
            for element in 0..batch {
                for (values, &[of, rows]) in values.iter().zip(&shapes) {
                    let start = element.min(of - 1) * rows * width;
                    expected.extend_from_slice(&values[start..start + rows * width]);
                }
            }
            let found = joined_rows(&parts, batch).expect("a kernel");
            assert_near(&format!("{shapes:?} {dtype:?}"), found, &expected, 0.0);
        }
        let x = tensor::<B, 3>(&numbers(2 * width, 1), [2, 1, width], dtype);
        assert!(joined_rows(&[x], batch).is_none(), "two rows for three");
    });
}

/// Maps of a batch and of one element, one vector for all cells, and maps in another order of
/// memory; sizes below, at and above those of a tile.
pub(super) fn cells_of_maps_are_added<B: Backend>() {
    for [batch, channels, height, width] in [[1, 1, 1, 1], [2, 33, 5, 7], [3, 32, 8, 8]] {
        each_type::<B>(|dtype| {
            for form in 0..3 {
                let case = format!("{batch} {channels} {height}x{width} {dtype:?} {form}");
                let shape = [batch, channels, height, width];
                let cells = height * width;
                let x = numbers(batch * channels * cells, 1);
                let map = tensor::<B, 4>(&x, shape, dtype);
                let map = match form {
                    // Computed with channels last.
                    1 => (map.permute([0, 2, 3, 1]) + 0.0).permute([0, 3, 1, 2]),
                    _ => map,
                };
                let (y, other) = match form {
                    0 => {
                        let y = numbers(channels, 2);
                        let of = tensor::<B, 4>(&y, [1, channels, 1, 1], dtype);
                        (y, of.expand([1, channels, height, width]))
                    }
                    _ => {
                        let y = numbers(channels * cells, 2);
                        let of = tensor::<B, 4>(&y, [1, channels, height, width], dtype);
                        (y, of)
                    }
                };
                let expected = (0..batch * cells * channels).map(|place| {
                    let (channel, row) = (place % channels, place / channels);
                    let (cell, element) = (row % cells, row / cells);
                    let added = match form {
                        0 => y[channel],
                        _ => y[channel * cells + cell],
                    };
                    x[(element * channels + channel) * cells + cell] + added
                });
                let expected: Vec<f64> = expected.collect();
                for found in [cell_sum(&map, &other), cell_sum(&other, &map)] {
                    // The sum of two such numbers is exact.
                    assert_near(&case, found.expect("a kernel"), &expected, 0.0);
                }
            }
        });
    }
}

/// A grid that is not square, with frequencies of each type.
pub(super) fn grids_are_encoded_by_sinusoids<B: Backend>() {
    let ([height, width], count) = ([3, 5], 7);
    let matrix = numbers(2 * count, 1);
    let mut expected = Vec::new();
    for cell in 0..height * width {
        let centre = |index: usize, size: usize| (index as f64 + 0.5) / size as f64 * 2.0 - 1.0;
        let (x, y) = (centre(cell % width, width), centre(cell / width, height));
        let angles = (0..count).map(|index| {
            let turns = x * matrix[index] + y * matrix[count + index];
            turns * 2.0 * core::f64::consts::PI
        });
        let angles: Vec<f64> = angles.collect();
        expected.extend(angles.iter().map(|x| x.sin()));
        expected.extend(angles.iter().map(|x| x.cos()));
    }
    each_type::<B>(|dtype| {
        for of_matrix in [dtype, DType::F32] {
            let matrix = tensor::<B, 2>(&matrix, [2, count], of_matrix);
            let found: Option<Tensor<B, 3>> = grid_sinusoids(&matrix, [height, width], dtype);
            let found = found.expect("a kernel");
            assert_eq!(found.dtype(), dtype);
            let case = format!("{dtype:?} {of_matrix:?}");
            assert_near(&case, found, &expected, allowed(dtype));
        }
    });
}
