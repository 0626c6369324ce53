//! Windows of grids, cut and merged in one pass over the rows of a window.

use core::mem::MaybeUninit;

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor, TensorMetadata};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::buffer::{all_f32, filled, tensor, values};
use super::contiguous::contiguous;
use crate::dispatch::{FlexKind, from_primitive, to_primitive};

/// Copies `from` and clears what is left of `out`.
fn copy(from: &[f32], out: &mut [MaybeUninit<f32>]) {
    let (copied, cleared) = out.split_at_mut(from.len());
    for (out, &x) in copied.iter_mut().zip(from) {
        out.write(x);
    }
    cleared.fill(MaybeUninit::new(0.0));
}

fn partition(x: FlexTensor, side: usize, [down, across]: [usize; 2]) -> FlexTensor {
    let x = contiguous(x);
    let [batch, height, width, channels] = x.shape().dims();
    let input = values(&x);
    let line = side * channels;
    let cut = |out: &mut [MaybeUninit<f32>]| {
        let windows = out.par_chunks_exact_mut(side * line).enumerate();
        windows.for_each(|(index, out)| {
            let (row, column) = (index / across * side, index % across * side);
            let (picture, row) = (row / (down * side), row % (down * side));
            let length = side.min(width - column) * channels;
            for (y, out) in out.chunks_exact_mut(line).enumerate() {
                let from = match row + y < height {
                    true => {
                        let first = ((picture * height + row + y) * width + column) * channels;
                        &input[first..][..length]
                    }
                    false => &[],
                };
                copy(from, out);
            }
        });
    };
    let count = batch * down * across;
    // SAFETY: each window writes all its rows.
    let out = unsafe { filled(count * side * line, cut) };
    tensor(out, Shape::new([count, side, side, channels]))
}

fn merge(x: FlexTensor, [down, across]: [usize; 2], [height, width]: [usize; 2]) -> FlexTensor {
    let x = contiguous(x);
    let [count, side, _, channels] = x.shape().dims();
    let batch = count / (down * across);
    let input = values(&x);
    let line = side * channels;
    let paste = |out: &mut [MaybeUninit<f32>]| {
        let rows = out.par_chunks_exact_mut(width * channels).enumerate();
        rows.for_each(|(index, out)| {
            let (picture, y) = (index / height, index % height);
            let first = (picture * down + y / side) * across;
            for (column, out) in out.chunks_mut(line).enumerate() {
                let from = ((first + column) * side + y % side) * line;
                copy(&input[from..][..out.len()], out);
            }
        });
    };
    // SAFETY: each row of the grid is written whole.
    let out = unsafe { filled(batch * height * width * channels, paste) };
    tensor(out, Shape::new([batch, height, width, channels]))
}

fn is_fused<B: Backend>(x: &Tensor<B, 4>) -> bool {
    FlexKind::of::<B>() == Some(FlexKind::Inference)
        && all_f32(&[x.dtype()])
        && x.dims().iter().all(|&size| size > 0)
}

/// Cuts a grid into windows, `count` of them down and across, or returns it.
pub(crate) fn partition_windows<B: Backend>(
    x: Tensor<B, 4>,
    side: usize,
    count: [usize; 2],
) -> Result<Tensor<B, 4>, Tensor<B, 4>> {
    let [_, height, width, _] = x.dims();
    match is_fused(&x) && [height, width].map(|length| length.div_ceil(side)) == count {
        true => Ok(from_primitive(partition(to_primitive(x), side, count))),
        false => Err(x),
    }
}

/// Merges windows, `count` of them down and across, to a grid without its padding, or returns them.
pub(crate) fn merge_windows<B: Backend>(
    x: Tensor<B, 4>,
    count: [usize; 2],
    grid: [usize; 2],
) -> Result<Tensor<B, 4>, Tensor<B, 4>> {
    let [windows, rows, columns, _] = x.dims();
    let whole = rows == columns
        && windows.is_multiple_of(count[0] * count[1])
        && grid.map(|length| length.div_ceil(rows)) == count;
    match is_fused(&x) && whole {
        true => Ok(from_primitive(merge(to_primitive(x), count, grid))),
        false => Err(x),
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Autodiff;
    use burn_flex::Flex;

    use crate::testing::random;
    use burn::tensor::Tensor;

    /// With gradients the composed form runs.
    #[test]
    fn windows_equal_the_composed_ones_and_merge_to_the_grid() {
        for ([height, width], side) in [([6, 6], 3), ([7, 5], 3), ([2, 9], 4), ([1, 1], 2)] {
            let x = random::<Flex, 4>([2, height, width, 5], 1, &Default::default());
            let windows = crate::Windows::new([height, width], side);
            let cut = windows.partition(x.clone());
            let tracked = Tensor::<Autodiff<Flex>, 4>::from_inner(x.clone());
            let composed = windows.partition(tracked).inner();
            assert_eq!(cut.to_data(), composed.to_data());
            assert_eq!(windows.merge(cut).to_data(), x.to_data());
        }
    }
}
