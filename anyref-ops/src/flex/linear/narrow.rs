//! Products of many rows and few weights, which a core's cache holds as a whole: rows are read
//! where they lie, and products are written where they belong.

use rayon::prelude::*;

use super::super::activation::activate;
use super::super::product::{Matrix, PAD, Product, packed_len, product as multiply};
use super::super::simd::{Kernel, Simd, dispatch};
use super::arithmetic::Arithmetic;
use super::ending::Ending;
use super::output::Output;
use super::scratch::Scratch;
use super::weight::Weight;

/// Most inputs, those that are multiplied before sums leave the registers.
const DEPTH: usize = 256;
/// Most outputs.
const WIDTH: usize = 256;
/// Fewest rows.
const ROWS: usize = 256;
/// Rows of a task.
const TOGETHER: usize = 96;

/// Returns whether a product has the sizes for this form.
pub(super) fn fits(rows: usize, depth: usize, width: usize) -> bool {
    rows >= ROWS && depth <= DEPTH && width <= WIDTH && width.is_multiple_of(PAD)
}

/// Computes `out[r, n] = ending(Σ x[r, k] · weight[k, n])` of sizes that [fit](fits),
/// and writes all of `out`, with the sums of [`tiles`](super::tiles).
pub(super) fn product<H: Send + Sync + Copy, A: Arithmetic<H, Word = f32>>(
    x: &[f32],
    weight: Weight<'_, H>,
    ending: Ending<'_>,
    out: Output<'_>,
) {
    let Weight { depth, width, .. } = weight;
    let mut packed = Scratch::<f32>::new(packed_len(depth, width));
    let mut tile = Scratch::<f32>::new(depth * width);
    A::pack_tile(weight, &mut tile, &mut packed);
    let panels = &packed[..];
    let chunks = x.par_chunks(TOGETHER * depth).enumerate();
    chunks.for_each(|(index, x)| {
        let (first, rows) = (index * TOGETHER, x.len() / depth);
        let part = out.part(first..first + rows, 0..width);
        // SAFETY: the rows are the task's alone; clearing them costs little beside their product.
        let sums = unsafe {
            part.write_bytes(0, rows * width);
            core::slice::from_raw_parts_mut(part, rows * width)
        };
        multiply(Product {
            a: Matrix {
                values: x,
                row: depth,
                column: 1,
            },
            b: panels,
            c: &mut *sums,
            stride: width,
            rows,
            depth,
            width,
            accumulate: false,
        });
        dispatch(Finish {
            sums,
            width,
            ending,
        });
    });
}

/// Finishes the sums of some rows.
struct Finish<'a> {
    sums: &'a mut [f32],
    width: usize,
    ending: Ending<'a>,
}

impl Kernel for Finish<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        if let Some(bias) = self.ending.bias {
            for sums in self.sums.chunks_exact_mut(self.width) {
                for (sum, &bias) in sums.iter_mut().zip(bias) {
                    *sum += bias;
                }
            }
        }
        if let Some(activation) = self.ending.activation {
            activate::<S>(activation, self.sums);
        }
    }
}
