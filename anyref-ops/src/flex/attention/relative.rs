//! Biases of decomposed relative positions, from queries in place.

use core::mem::MaybeUninit;

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor, TensorMetadata};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::super::buffer::{all_f32, filled, tensor, values};
use super::super::contiguous::contiguous;
use super::super::pack::pack_transposed;
use super::super::product::{Matrix, Product, packed_len, padded, product};
use super::problem::{rows, with_slices};
use crate::RelativePosition;
use crate::dispatch::{FlexKind, from_primitive, to_primitive};

/// Vectors of all pairs of positions along one side, packed for products.
struct Table {
    packed: Vec<f32>,
    /// Positions of queries and of keys.
    extents: [usize; 2],
    dim: usize,
}

impl Table {
    fn new(table: FlexTensor) -> Self {
        let table = contiguous(table);
        let [queries, keys, dim] = table.shape().dims();
        let mut packed = vec![0.0; queries * packed_len(dim, keys)];
        let sources = values(&table).chunks_exact(keys * dim);
        for (source, out) in sources.zip(packed.chunks_exact_mut(packed_len(dim, keys))) {
            pack_transposed(source, dim, dim, keys, out);
        }
        Self {
            packed,
            extents: [queries, keys],
            dim,
        }
    }

    /// Products of `count` queries at one position, the rows of `a`, into `sums`.
    fn products(&self, position: usize, count: usize, a: Matrix<'_>, sums: &mut [f32]) {
        let [_, keys] = self.extents;
        let length = packed_len(self.dim, keys);
        product(Product {
            a,
            b: &self.packed[position * length..][..length],
            c: sums,
            stride: padded(keys),
            rows: count,
            depth: self.dim,
            width: keys,
            accumulate: false,
        });
    }
}

/// Biases of the rows and of the columns of keys, `[batch, heads, tokens, positions]` each.
fn forward(query: &FlexTensor, tables: [Table; 2]) -> [FlexTensor; 2] {
    let query = with_slices(query);
    let [batch, heads, tokens, _] = query.shape().dims();
    let queries = rows::<f32>(&query);
    let [[height, down], [width, across]] = tables.each_ref().map(|table| table.extents);
    let [by_row, by_column] = &tables;
    let mut across_out = Vec::new();
    let write = |down_out: &mut [MaybeUninit<f32>]| {
        let write = |across_out: &mut [MaybeUninit<f32>]| {
            let heads_of = down_out.par_chunks_exact_mut(tokens * down);
            let heads_of = heads_of.zip(across_out.par_chunks_exact_mut(tokens * across));
            heads_of.enumerate().for_each_init(
                || vec![0.0; (width * padded(down)).max(height * padded(across))],
                |sums, (head, (down_out, across_out))| {
                    let (b, h) = (head / heads, head % heads);
                    for y in 0..height {
                        let (values, row) = queries.tail(b, h, y * width);
                        let a = Matrix {
                            values,
                            row,
                            column: 1,
                        };
                        by_row.products(y, width, a, sums);
                        let out = &mut down_out[y * width * down..][..width * down];
                        let lines = out.chunks_exact_mut(down);
                        lines
                            .zip(sums.chunks_exact(padded(down)))
                            .for_each(write_line);
                    }
                    for x in 0..width {
                        let (values, row) = queries.tail(b, h, x);
                        let a = Matrix {
                            values,
                            row: row * width,
                            column: 1,
                        };
                        by_column.products(x, height, a, sums);
                        let lines = across_out.chunks_exact_mut(across).skip(x).step_by(width);
                        lines
                            .zip(sums.chunks_exact(padded(across)))
                            .for_each(write_line);
                    }
                },
            );
        };
        // SAFETY: each head writes all rows of all its columns.
        across_out = unsafe { filled(batch * heads * tokens * across, write) };
    };
    // SAFETY: each head writes all columns of all its rows.
    let down_out = unsafe { filled(batch * heads * tokens * down, write) };
    [
        tensor(down_out, Shape::new([batch, heads, tokens, down])),
        tensor(across_out, Shape::new([batch, heads, tokens, across])),
    ]
}

fn write_line((out, sums): (&mut [MaybeUninit<f32>], &[f32])) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        out.write(sum);
    }
}

/// Computes the biases, or returns the arguments.
#[allow(clippy::type_complexity)]
pub(crate) fn relative_positions<B: Backend>(
    query: Tensor<B, 4>,
    rows: Tensor<B, 3>,
    columns: Tensor<B, 3>,
) -> Result<RelativePosition<B>, (Tensor<B, 4>, Tensor<B, 3>, Tensor<B, 3>)> {
    let [batch, heads, tokens, dim] = query.dims();
    let ([height, down, row_dim], [width, across, column_dim]) = (rows.dims(), columns.dims());
    let extents = [batch, heads, dim, height, down, width, across];
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && extents.iter().all(|&extent| extent > 0)
        && tokens == height * width
        && [row_dim, column_dim] == [dim, dim]
        && all_f32(&[query.dtype(), rows.dtype(), columns.dtype()]);
    if !fits {
        return Err((query, rows, columns));
    }
    let tables = [rows, columns].map(|table| Table::new(to_primitive(table)));
    let [height, width] = forward(&to_primitive(query), tables).map(from_primitive);
    Ok(RelativePosition { height, width })
}

#[cfg(test)]
mod tests {
    use burn_flex::Flex;

    use crate::testing::{assert_close, random};

    #[test]
    fn biases_equal_the_composed_ones() {
        let device = Default::default();
        for ([height, width], [down, across], dim) in [
            ([1, 1], [1, 1], 3),
            ([3, 5], [3, 5], 8),
            ([14, 14], [14, 14], 20),
            ([4, 13], [17, 33], 64),
        ] {
            let query = random::<Flex, 4>([2, height * width, 3, dim], 1, &device);
            let rows = random::<Flex, 3>([height, down, dim], 2, &device);
            let columns = random::<Flex, 3>([width, across, dim], 3, &device);
            // In place, and contiguous.
            for query in [
                query.clone().swap_dims(1, 2),
                query.reshape([2, 3, height * width, dim]),
            ] {
                let inputs = (query, rows.clone(), columns.clone());
                let (q, r, c) = inputs.clone();
                let expected = crate::attention::composed_relative_positions(q, r, c);
                let (q, r, c) = inputs;
                let found = super::relative_positions(q, r, c).expect("fits");
                assert_close(&found.height, &expected.height, 1e-5);
                assert_close(&found.width, &expected.width, 1e-5);
            }
        }
    }
}
