//! Products of a few rows and many short columns, each of which lies in order.

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::buffer::{SMALL, all_f32, filled, tensor, values};
use super::contiguous::contiguous;
use super::linear::Output;
use super::pack::interleave;
use super::simd::{Kernel, Simd, dispatch, mul_add};
use crate::dispatch::{FlexKind, from_primitive, to_primitive};

/// Columns that are multiplied together.
const TILE: usize = 16;
/// Columns of a task.
const TASK: usize = 128 * TILE;
/// Longest columns.
pub(super) const LENGTH: usize = 64;
/// Most rows.
const ROWS: usize = 8;

/// Returns whether this form serves so many rows of such a length.
pub(super) fn fits(rows: usize, length: usize) -> bool {
    rows <= ROWS && length <= LENGTH
}

/// Computes `x · columnsᵀ` without gradients, or returns the arguments for other sizes.
///
/// # Shapes
/// - x: `[batch, n, d]`
/// - columns: `[batch, count, d]`
/// - output: `[batch, n, count]`
#[allow(clippy::type_complexity)]
pub(crate) fn short_columns<B: Backend>(
    x: Tensor<B, 3>,
    columns: Tensor<B, 3>,
) -> Result<Tensor<B, 3>, (Tensor<B, 3>, Tensor<B, 3>)> {
    let ([batch, rows, length], [batches, count, of]) = (x.dims(), columns.dims());
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && all_f32(&[x.dtype(), columns.dtype()])
        && (batch, length) == (batches, of)
        && [batch, rows, length, count].iter().all(|&size| size > 0)
        && self::fits(rows, length);
    if !fits {
        return Err((x, columns));
    }
    let x: FlexTensor = contiguous(to_primitive(x));
    let columns: FlexTensor = contiguous(to_primitive(columns));
    let (x, columns) = (values(&x), values(&columns));
    let tasks = count.div_ceil(TASK);
    let fill = |out: &mut [_]| {
        let out = Output::unwritten(out, count);
        let task = |index: usize| {
            let (entry, first) = (index / tasks, index % tasks * TASK);
            dispatch(Task {
                x: &x[entry * rows * length..][..rows * length],
                columns: &columns[entry * count * length..][..count * length],
                length,
                range: [first, count.min(first + TASK)],
                out: &out,
                first_row: entry * rows,
            });
        };
        match columns.len() <= SMALL {
            true => (0..batch * tasks).for_each(task),
            false => (0..batch * tasks).into_par_iter().for_each(task),
        }
    };
    // SAFETY: the tasks write all columns of all rows.
    let out = unsafe { filled(batch * rows * count, fill) };
    Ok(from_primitive(tensor(
        out,
        Shape::new([batch, rows, count]),
    )))
}

/// Some of the columns of a batch entry.
struct Task<'a> {
    /// `[rows, length]`
    x: &'a [f32],
    /// `[count, length]`
    columns: &'a [f32],
    length: usize,
    /// First column, and the one after the last.
    range: [usize; 2],
    out: &'a Output<'a>,
    /// Row of the output that belongs to the first row.
    first_row: usize,
}

impl Kernel for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let length = self.length;
        let mut transposed = [0.0; LENGTH * TILE];
        let transposed = &mut transposed[..length * TILE];
        for first in (self.range[0]..self.range[1]).step_by(TILE) {
            let count = TILE.min(self.range[1] - first);
            let lines = core::array::from_fn::<_, TILE, _>(|i| match i < count {
                true => &self.columns[(first + i) * length..][..length],
                false => &[][..],
            });
            interleave(lines, transposed, TILE);
            for (row, x) in self.x.chunks_exact(length).enumerate() {
                let sums = sums::<S>(x, transposed);
                // SAFETY: these columns are the task's alone.
                unsafe {
                    let columns = first..first + count;
                    self.out.store(self.first_row + row, columns, &sums, None);
                }
            }
        }
    }
}

/// Products of a row with the columns of a tile, inside a kernel of `S`.
///
/// # Shapes
/// - x: `[length]`
/// - transposed: `[length, TILE]`
#[inline(always)]
pub(super) fn sums<S: Simd>(x: &[f32], transposed: &[f32]) -> [f32; TILE] {
    let mut sums = [0.0; TILE];
    for (&x, values) in x.iter().zip(transposed.as_chunks::<TILE>().0) {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum = mul_add::<S>(x, value, *sum);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;
    use burn_flex::Flex;

    #[test]
    fn products_are_those_of_matrices() {
        let device = Default::default();
        for [batch, rows, length, count] in [
            [1, 1, 1, 1],
            [1, 1, 32, 5000],
            [2, 3, 33, 17],
            [3, 8, 64, 40],
        ] {
            let x = random::<Flex, 3>([batch, rows, length], 1, &device);
            let columns = random::<Flex, 3>([batch, count, length], 2, &device);
            let expected = x.clone().matmul(columns.clone().swap_dims(1, 2));
            let found = short_columns(x, columns).unwrap();
            let error = (found - expected).abs().max().into_scalar();
            assert!(error < 1e-5, "{error}");
        }
        let wide = random::<Flex, 3>([1, 9, 4], 1, &device);
        assert!(short_columns(wide.clone(), wide).is_err());
    }
}
