//! Maxima over cells of a grid, in one pass over its rows.

use core::mem::MaybeUninit;

use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor, TensorMetadata};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::buffer::{all_f32, filled, tensor, values};
use super::contiguous::contiguous;
use super::simd::{Kernel, Simd, dispatch};
use crate::dispatch::{FlexKind, from_primitive, to_primitive};

/// Two rows of cells, and the row of their maxima.
struct Row<'a> {
    /// `[2, width, channels]`
    cells: &'a [f32],
    width: usize,
    channels: usize,
    /// `[width / 2, channels]`
    out: &'a mut [MaybeUninit<f32>],
}

/// Larger of two values; NaN if either is, as PyTorch has it.
#[inline(always)]
fn larger(x: f32, y: f32) -> f32 {
    match y > x || y.is_nan() {
        true => y,
        false => x,
    }
}

impl Kernel for Row<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (upper, lower) = self.cells.split_at(self.width * self.channels);
        let pair = 2 * self.channels;
        let pairs = upper.chunks_exact(pair).zip(lower.chunks_exact(pair));
        for (out, (upper, lower)) in self.out.chunks_exact_mut(self.channels).zip(pairs) {
            let (a, b) = upper.split_at(self.channels);
            let (c, d) = lower.split_at(self.channels);
            let cells = a.iter().zip(b).zip(c.iter().zip(d));
            for (out, ((&a, &b), (&c, &d))) in out.iter_mut().zip(cells) {
                out.write(larger(larger(a, b), larger(c, d)));
            }
        }
    }
}

fn pooled(x: FlexTensor) -> FlexTensor {
    let x = contiguous(x);
    let [batch, height, width, channels] = x.shape().dims();
    let (rows, columns) = (height / 2, width / 2);
    let (input, line) = (values(&x), width * channels);
    let fill = |out: &mut [MaybeUninit<f32>]| {
        let lines = out.par_chunks_exact_mut(columns * channels).enumerate();
        lines.for_each(|(index, out)| {
            let first = (index / rows * height + index % rows * 2) * line;
            dispatch(Row {
                cells: &input[first..][..2 * line],
                width,
                channels,
                out,
            });
        });
    };
    // SAFETY: each row writes all its maxima.
    let out = unsafe { filled(batch * rows * columns * channels, fill) };
    tensor(out, Shape::new([batch, rows, columns, channels]))
}

/// Computes the maxima of 2 × 2 cells, or returns the grid.
pub(crate) fn max_pool_2x2<B: Backend>(x: Tensor<B, 4>) -> Result<Tensor<B, 4>, Tensor<B, 4>> {
    let [batch, height, width, channels] = x.dims();
    let fits = FlexKind::of::<B>() == Some(FlexKind::Inference)
        && all_f32(&[x.dtype()])
        && [batch, height / 2, width / 2, channels]
            .iter()
            .all(|&size| size > 0);
    match fits {
        true => Ok(from_primitive(pooled(to_primitive(x)))),
        false => Err(x),
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::Autodiff;
    use burn::tensor::Tensor;
    use burn_flex::Flex;

    use crate::max_pool_2x2;
    use crate::testing::random;

    /// With gradients the composed form runs.
    #[test]
    fn maxima_equal_the_composed_ones_also_of_odd_grids_and_views() {
        for [height, width, channels] in [[2, 2, 1], [5, 8, 3], [8, 7, 33], [3, 4, 2]] {
            let x = random::<Flex, 4>([2, height, width, channels], 1, &Default::default());
            let view = random::<Flex, 4>([2, height, width, 2 * channels], 2, &Default::default())
                .narrow(3, channels, channels);
            for x in [x, view] {
                let composed = Tensor::<Autodiff<Flex>, 4>::from_inner(x.clone());
                let composed = max_pool_2x2(composed).inner();
                assert_eq!(composed.dims(), [2, height / 2, width / 2, channels]);
                assert_eq!(max_pool_2x2(x).to_data(), composed.to_data());
            }
        }
    }

    #[test]
    fn a_cell_that_is_not_a_number_stays_one() {
        for place in 0..4 {
            let mut cells = [1.0, -2.0, 3.0, 0.5];
            cells[place] = f32::NAN;
            let cells = Tensor::<Flex, 1>::from_floats(cells, &Default::default());
            let pooled = max_pool_2x2(cells.reshape([1, 2, 2, 1])).into_scalar();
            assert!(pooled.is_nan());
        }
    }
}
