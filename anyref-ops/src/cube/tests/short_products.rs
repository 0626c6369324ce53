//! Products with short columns, and with negative outputs clipped.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::{allowed, assert_near, each_type, numbers, product, tensor};
use crate::cube::calls::{DenseProduct, clipped_product, short_columns};

/// One column and many, one row and several, odd lengths, and more than one batch.
pub(super) fn products_of_short_columns_are_their_definition<B: Backend>() {
    for [batch, rows, length, count] in [[1, 1, 7, 1], [2, 4, 32, 300], [3, 8, 64, 130]] {
        each_type::<B>(|dtype| {
            let x = numbers(batch * rows * length, 1);
            let columns = numbers(batch * count * length, 2);
            let columns: Vec<f64> = columns.iter().map(|x| x / 32.0).collect();
            let found = short_columns(
                &tensor::<B, 3>(&x, [batch, rows, length], dtype),
                &tensor(&columns, [batch, count, length], dtype),
                None,
            );
            let expected = (0..batch * rows * count).map(|place| {
                let (row, column) = (place / count, place % count);
                let x = &x[row * length..][..length];
                let column = &columns[(row / rows * count + column) * length..][..length];
                x.iter().zip(column).map(|(x, y)| x * y).sum()
            });
            let expected: Vec<f64> = expected.collect();
            let case = format!("{batch} {rows} {length} {count} {dtype:?}");
            assert_near(&case, found.expect("a kernel"), &expected, allowed(dtype));
        });
    }
}

/// One row and several, fewer outputs than values in a vector and more.
pub(super) fn clipped_products_are_their_definition<B: Backend>() {
    for [rows, inputs, outputs] in [[1, 7, 3], [3, 64, 33], [8, 256, 2]] {
        each_type::<B>(|dtype| {
            let (x, bias) = (numbers(rows * inputs, 1), numbers(outputs, 3));
            let weight = numbers(inputs * outputs, 2);
            let weight: Vec<f64> = weight.iter().map(|x| x / 32.0).collect();
            let dense = DenseProduct {
                weight: tensor::<B, 2>(&weight, [inputs, outputs], dtype),
                bias: Some(tensor(&bias, [outputs], dtype)),
            };
            let found = clipped_product(&tensor(&x, [rows, inputs], dtype), dense);
            let expected = product(&x, &weight, Some(&bias), inputs);
            let expected: Vec<f64> = expected.iter().map(|x| x.max(0.0)).collect();
            let case = format!("{rows}x{inputs}x{outputs} {dtype:?}");
            assert_near(&case, found.expect("a kernel"), &expected, allowed(dtype));
        });
    }
}

/// Grids of one cell and of several, not square, with one row and several.
pub(super) fn pixels_are_put_in_the_order_of_a_picture<B: Backend>() {
    for [batch, rows, length, height, width] in [[1, 1, 3, 1, 1], [2, 3, 32, 5, 3]] {
        each_type::<B>(|dtype| {
            let count = height * width * 16;
            let x = tensor::<B, 3>(
                &numbers(batch * rows * length, 1),
                [batch, rows, length],
                dtype,
            );
            let columns = numbers(batch * count * length, 2);
            let columns: Vec<f64> = columns.iter().map(|x| x / 32.0).collect();
            let columns = tensor(&columns, [batch, count, length], dtype);
            let values = |x: Option<Tensor<B, 3>>| {
                let values = x.expect("a kernel").into_data();
                values.iter::<f64>().collect::<Vec<_>>()
            };
            // The order of columns has a test of its own.
            let by_column = values(short_columns(&x, &columns, None));
            let mut expected = vec![0.0; by_column.len()];
            for (place, value) in by_column.iter().enumerate() {
                let (row, column) = (place / count, place % count);
                let (cell, inside) = (column / 16, column % 16);
                let [y1, x1, y2, x2] = [8, 4, 2, 1].map(|bit| inside / bit % 2);
                let y = cell / width * 4 + y1 * 2 + y2;
                let x = cell % width * 4 + x1 * 2 + x2;
                expected[row * count + y * 4 * width + x] = *value;
            }
            let found = values(short_columns(&x, &columns, Some(width)));
            assert_eq!(found, expected, "{batch} {rows} {height}x{width} {dtype:?}");
        });
    }
}
