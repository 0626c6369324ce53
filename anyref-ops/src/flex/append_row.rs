//! Rows of a batch with one more at their end.

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::buffer::{all_f32, filled, tensor};
use super::contiguous::contiguous;
use super::linear::Output;
use crate::dispatch::{FlexKind, from_primitive, to_primitive};

/// Rows of a task.
const TOGETHER: usize = 64;

/// Copies the rows of each batch entry, which may be a view, and the shared row after them, without
/// gradients; otherwise returns the arguments.
///
/// # Shapes
/// - x: `[batch, rows, d]`
/// - row: `[1, 1, d]`
/// - output: `[batch, rows + 1, d]`
#[allow(clippy::type_complexity)]
pub(crate) fn append_row<B: Backend>(
    x: Tensor<B, 3>,
    row: Tensor<B, 3>,
) -> Result<Tensor<B, 3>, (Tensor<B, 3>, Tensor<B, 3>)> {
    let [batch, rows, width] = x.dims();
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && all_f32(&[x.dtype(), row.dtype()])
        && row.dims() == [1, 1, width]
        && batch * rows * width > 0;
    if !fits {
        return Err((x, row));
    }
    let x: FlexTensor = to_primitive(x);
    let x = match *x.layout().strides() {
        [entry, line, 1] if entry >= 0 && line >= 0 => x,
        _ => contiguous(x),
    };
    let row: FlexTensor = contiguous(to_primitive(row));
    let (values, row): (&[f32], &[f32]) = (x.storage(), row.storage());
    let start = x.layout().start_offset();
    let [entry, line] = [0, 1].map(|axis| x.layout().strides()[axis] as usize);
    let all = batch * (rows + 1);
    let fill = |out: &mut [_]| {
        let out = Output::unwritten(out, width);
        let tasks = (0..all.div_ceil(TOGETHER)).into_par_iter();
        tasks.for_each(|task| {
            for index in task * TOGETHER..all.min((task + 1) * TOGETHER) {
                let (b, i) = (index / (rows + 1), index % (rows + 1));
                let source = match i < rows {
                    true => &values[start + b * entry + i * line..][..width],
                    false => row,
                };
                // SAFETY: each row belongs to one task.
                unsafe { out.store(index, 0..width, source, None) };
            }
        });
    };
    // SAFETY: the tasks write all rows.
    let out = unsafe { filled(all * width, fill) };
    Ok(from_primitive(tensor(
        out,
        Shape::new([batch, rows + 1, width]),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;
    use burn_flex::Flex;

    #[test]
    fn rows_are_those_of_a_concatenation() {
        let device = Default::default();
        for [batch, rows, width] in [[1, 1, 1], [3, 40, 7], [2, 130, 32]] {
            let whole = random::<Flex, 3>([batch, rows, 3 * width], 1, &device);
            let row = random::<Flex, 3>([1, 1, width], 2, &device);
            for part in 0..3 {
                let x = whole.clone().narrow(2, part * width, width);
                let last = row.clone().expand([batch, 1, width]);
                let expected = Tensor::cat(vec![x.clone(), last], 1);
                let found = append_row(x, row.clone()).unwrap();
                assert_eq!(found.into_data(), expected.into_data());
            }
        }
    }
}
