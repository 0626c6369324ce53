//! Masks of enlarged cells, some cells at a time, whose pixels and earlier states stay in cache.

use burn::nn::conv::ConvTranspose2d;
use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use super::activation::{Activation, activate};
use super::buffer::{all_f32, filled, tensor, values};
use super::contiguous::contiguous;
use super::linear::{Output, Scratch};
use super::norm::{LayerNormParameters, LayerNormValues};
use super::pack::{interleave, pack_rows};
use super::product::{PAD, packed_len, product_of_rows};
use super::short_columns;
use super::simd::{Kernel, Simd, dispatch};
use crate::dispatch::{FlexKind, from_primitive, to_primitive};

/// Cells of a task, whose pixels fit a core's cache.
const CELLS: usize = 32;
/// Positions that a convolution makes of one.
const POSITIONS: usize = 4;
/// Pixels of a cell.
const PIXELS: usize = POSITIONS * POSITIONS;
/// Rows of pixels of a cell.
const SIDE: usize = 4;

/// Arguments of [`upscaled_masks`].
#[derive(Debug)]
pub(crate) struct UpscalingInput<'a, B: Backend> {
    /// Convolution of cells, `[d, c, 2, 2]`.
    pub(crate) first: &'a ConvTranspose2d<B>,
    /// Norm of `c` channels, which GELU follows.
    pub(crate) norm: LayerNormParameters<B>,
    /// Convolution `[c, e, 2, 2]`, which GELU follows.
    pub(crate) second: &'a ConvTranspose2d<B>,
    /// Summands of the convolutions' outputs, `[k, 4 * c]` and `[4 * k, 4 * e]`.
    pub(crate) fine: Option<&'a [Tensor<B, 2>; 2]>,
    /// `[batch, height * width, d]`
    pub(crate) cells: &'a Tensor<B, 3>,
    /// `[batch, n, e]`
    pub(crate) weights: &'a Tensor<B, 3>,
    /// Height and width in cells.
    pub(crate) sides: [usize; 2],
}

/// Transposed convolution as a product.
struct Convolution {
    /// `[inputs, POSITIONS * outputs]`, packed.
    weight: Scratch<f32>,
    /// `[POSITIONS * outputs]`
    bias: Vec<f32>,
    /// Summand of each row, `[period, POSITIONS * outputs]`.
    added: Option<FlexTensor>,
    inputs: usize,
    /// `POSITIONS * outputs`
    width: usize,
}

impl Convolution {
    fn new<B: Backend>(conv: &ConvTranspose2d<B>, added: Option<&Tensor<B, 2>>) -> Self {
        let [inputs, outputs, _, _] = conv.weight.dims();
        let width = POSITIONS * outputs;
        let source: FlexTensor = contiguous(to_primitive(conv.weight.val()));
        let source = values(&source);
        // Positions are the last dimensions of a weight, and the first of a product's outputs.
        let mut rows = Scratch::<f32>::new(inputs * width);
        let lines = rows.chunks_exact_mut(width).zip(source.chunks_exact(width));
        for (row, line) in lines {
            for (position, row) in row.chunks_exact_mut(outputs).enumerate() {
                for (value, of_output) in row.iter_mut().zip(line.chunks_exact(POSITIONS)) {
                    *value = of_output[position];
                }
            }
        }
        let mut weight = Scratch::new(packed_len(inputs, width));
        pack_rows(&rows, width, inputs, width, &mut weight);
        let bias = match &conv.bias {
            Some(bias) => {
                let bias: FlexTensor = contiguous(to_primitive(bias.val()));
                values(&bias).repeat(POSITIONS)
            }
            None => vec![0.0; width],
        };
        Self {
            weight,
            bias,
            added: added.map(|added| contiguous(to_primitive(added.clone()))),
            inputs,
            width,
        }
    }

    /// Writes the products of rows.
    ///
    /// # Shapes
    /// - rows: `[n, inputs]`
    /// - out: `[n, width]`
    fn products(&self, rows: &[f32], out: &mut [f32]) {
        product_of_rows(rows, self.inputs, &self.weight, out, self.width);
    }

    /// Adds the bias and the summands of the rows from `first` on.
    #[inline(always)]
    fn add_to(&self, products: &mut [f32], first: usize) {
        for row in products.chunks_exact_mut(self.width) {
            for (x, bias) in row.iter_mut().zip(&self.bias) {
                *x += bias;
            }
        }
        if let Some(added) = &self.added {
            let added = values(added);
            let period = added.len() / self.width;
            for (index, row) in products.chunks_exact_mut(self.width).enumerate() {
                let added = &added[(first + index) % period * self.width..][..self.width];
                for (x, added) in row.iter_mut().zip(added) {
                    *x += added;
                }
            }
        }
    }
}

/// Returns whether sizes and types have this form: products fill whole vectors, and weights are
/// those of [`short_columns`].
fn fits<B: Backend>(input: &UpscalingInput<'_, B>) -> bool {
    let UpscalingInput {
        first,
        norm,
        second,
        fine,
        cells,
        weights,
        sides: [height, width],
    } = input;
    if FlexKind::of::<B>() != Some(FlexKind::Inference) {
        return false;
    }
    let [batch, count, dim] = cells.dims();
    let [of, masks, channels] = weights.dims();
    let [inputs, middle, _, _] = first.weight.dims();
    let [next, outputs, _, _] = second.weight.dims();
    let summands = |added: &Tensor<B, 2>, rows: usize, width: usize| {
        let [period, columns] = added.dims();
        all_f32(&[added.dtype()])
            && columns == width
            && period > 0
            && (batch * rows).is_multiple_of(period)
    };
    let sizes = (count, dim, next, channels) == (height * width, inputs, middle, outputs)
        && batch == of
        && norm.fit(middle)
        && [batch, count, dim, masks].iter().all(|&size| size > 0)
        && [middle, outputs]
            .iter()
            .all(|size| (POSITIONS * size).is_multiple_of(PAD))
        && short_columns::fits(masks, outputs);
    let biases = [&first.bias, &second.bias];
    let biases = biases.into_iter().flatten();
    sizes
        && all_f32(&[cells.dtype(), weights.dtype()])
        && all_f32(&[first.weight.val().dtype(), second.weight.val().dtype()])
        && biases
            .map(|bias| bias.val().dtype())
            .all(|dtype| all_f32(&[dtype]))
        && fine.as_ref().is_none_or(|[halves, quarters]| {
            summands(halves, count, POSITIONS * middle)
                && summands(quarters, POSITIONS * count, POSITIONS * outputs)
        })
}

/// Computes the products of weights and pixels without gradients, `[batch, n, 4 * height, 4 *
/// width]`; `None` for other sizes and types.
pub(crate) fn upscaled_masks<B: Backend>(input: &UpscalingInput<'_, B>) -> Option<Tensor<B, 4>> {
    if !fits(input) {
        return None;
    }
    let ([batch, count, dim], [_, masks, _]) = (input.cells.dims(), input.weights.dims());
    let [height, width] = input.sides.map(|side| side * SIDE);
    let across = input.sides[1];
    let norm = input.norm.values();
    let [halves, quarters] = match input.fine {
        Some([halves, quarters]) => [Some(halves), Some(quarters)],
        None => [None, None],
    };
    let first = Convolution::new(input.first, halves);
    let second = Convolution::new(input.second, quarters);
    let cells: FlexTensor = contiguous(to_primitive(input.cells.clone()));
    let weights: FlexTensor = contiguous(to_primitive(input.weights.clone()));
    let (cells, weights) = (values(&cells), values(&weights));
    let weights = weights.chunks_exact(masks * second.width / POSITIONS);
    let fill = |out: &mut [_]| {
        let out = Output::unwritten(out, width);
        let tasks = cells.chunks_exact(count * dim).zip(weights).enumerate();
        let tasks = tasks.flat_map(|(entry, (cells, weights))| {
            let parts = cells.chunks(CELLS * dim).enumerate();
            parts.map(move |(part, cells)| (entry, part * CELLS, cells, weights))
        });
        let tasks: Vec<_> = tasks.collect();
        tasks
            .into_par_iter()
            .for_each(|(entry, cell, cells, weights)| {
                let some = cells.len() / dim;
                let mut middle = Scratch::<f32>::new(some * first.width);
                let mut pixels = Scratch::<f32>::new(POSITIONS * some * second.width);
                first.products(cells, &mut middle);
                dispatch(Middle {
                    convolution: &first,
                    norm: &norm,
                    products: &mut middle,
                    first: entry * count + cell,
                });
                second.products(&middle, &mut pixels);
                dispatch(Pixels {
                    convolution: &second,
                    products: &mut pixels,
                    first: (entry * count + cell) * POSITIONS,
                    weights,
                    place: Place {
                        out: &out,
                        row: entry * masks * height,
                        height,
                        across,
                        cell,
                    },
                });
            });
    };
    // SAFETY: the tasks write the pixels of all cells.
    let out = unsafe { filled(batch * masks * height * width, fill) };
    let shape = Shape::new([batch, masks, height, width]);
    Some(from_primitive(tensor(out, shape)))
}

/// Finishes the products of the first convolution: norm and GELU.
struct Middle<'a> {
    convolution: &'a Convolution,
    norm: &'a LayerNormValues,
    products: &'a mut [f32],
    /// Number of the first row.
    first: usize,
}

impl Kernel for Middle<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        self.convolution.add_to(self.products, self.first);
        self.norm.normalise_in_place::<S>(self.products);
        activate::<S>(Activation::Gelu, self.products);
    }
}

/// Finishes the products of the second convolution, and multiplies them with the weights of masks.
struct Pixels<'a> {
    convolution: &'a Convolution,
    products: &'a mut [f32],
    /// Number of the first row.
    first: usize,
    /// `[masks, outputs]`
    weights: &'a [f32],
    place: Place<'a>,
}

/// Place of cells in masks.
struct Place<'a> {
    out: &'a Output<'a>,
    /// First row of the first mask.
    row: usize,
    /// Rows of a mask.
    height: usize,
    /// Cells in a row.
    across: usize,
    /// Number of the first cell in its picture.
    cell: usize,
}

impl Kernel for Pixels<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        self.convolution.add_to(self.products, self.first);
        activate::<S>(Activation::Gelu, self.products);
        let channels = self.convolution.width / POSITIONS;
        let mut transposed = [0.0; short_columns::LENGTH * PIXELS];
        let transposed = &mut transposed[..channels * PIXELS];
        let cells = self.products.chunks_exact(PIXELS * channels).enumerate();
        for (index, pixels) in cells {
            let lines: [&[f32]; PIXELS] =
                core::array::from_fn(|pixel| &pixels[pixel * channels..][..channels]);
            interleave(lines, transposed, PIXELS);
            for (mask, weights) in self.weights.chunks_exact(channels).enumerate() {
                let sums = short_columns::sums::<S>(weights, transposed);
                self.place.store(index, mask, &sums);
            }
        }
    }
}

impl Place<'_> {
    /// Writes the pixels of a cell, in the order of the convolutions, to rows and columns.
    #[inline(always)]
    fn store(&self, index: usize, mask: usize, pixels: &[f32; PIXELS]) {
        let cell = self.cell + index;
        let row = self.row + mask * self.height + cell / self.across * SIDE;
        let column = cell % self.across * SIDE;
        for y in 0..SIDE {
            // Two pixels of a row belong to one position of the first convolution.
            let at = y / 2 * 8 + y % 2 * 2;
            let of_row = [pixels[at], pixels[at + 1], pixels[at + 4], pixels[at + 5]];
            // SAFETY: the cell belongs to one task.
            unsafe {
                let columns = column..column + SIDE;
                self.out.store(row + y, columns, &of_row, None);
            }
        }
    }
}
