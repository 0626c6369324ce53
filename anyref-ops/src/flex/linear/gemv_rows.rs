//! GEMV over the rows of a weight in PyTorch's layout, `[outputs, inputs]`, for few inputs, such as
//! a language model's next token: each output is the dot product with a row. Every weight is read
//! once, in memory order, by all threads.

use rayon::prelude::*;

use super::super::math::{PARTS, total};
use super::super::simd::{Kernel, Simd, dispatch};
use super::output::Output;
use super::stored::{Stored, tail};
use super::weight::Weight;

/// Weights of a task, which stay in a core's cache while they are used for all rows.
const TASK: usize = 64 * 1024;
/// Most outputs that are computed together.
const TOGETHER: usize = 4;
/// Outputs that are computed together for several rows, on vectors of four: their sums have to stay
/// in sixteen registers.
const NARROW: usize = 2;

/// Computes `out[r, n] = Σ x[r, k] · weight[k, n] + bias[n]`; each task computes some of the
/// outputs, whose inputs are contiguous.
pub(crate) fn product<H: Stored>(
    x: &[f32],
    weight: Weight<'_, H>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let Weight { depth, width, .. } = weight;
    assert_eq!(x.len() / depth, out.len() / width);
    let lines = (TASK / depth).clamp(1, width).next_multiple_of(TOGETHER);
    let out = Output::new(out, width);
    let task = |index: usize| {
        let first = index * lines;
        dispatch(Lines {
            x,
            weight,
            bias,
            out: &out,
            first,
            last: (first + lines).min(width),
        });
    };
    let tasks = width.div_ceil(lines);
    if tasks == 1 {
        task(0);
    } else {
        (0..tasks).into_par_iter().for_each(task);
    }
}

/// Outputs `first..last` of all rows.
struct Lines<'a, 'b, H> {
    x: &'a [f32],
    weight: Weight<'a, H>,
    bias: Option<&'a [f32]>,
    out: &'a Output<'b>,
    first: usize,
    last: usize,
}

impl<H: Stored> Kernel for Lines<'_, '_, H> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let mut output = self.first;
        let several = self.x.len() >= 4 * self.weight.depth;
        if S::LANES == 4 && several {
            while output + NARROW <= self.last {
                self.rows::<S, NARROW>(output);
                output += NARROW;
            }
        }
        while output + TOGETHER <= self.last {
            self.rows::<S, TOGETHER>(output);
            output += TOGETHER;
        }
        for output in output..self.last {
            self.rows::<S, 1>(output);
        }
    }
}

impl<H: Stored> Lines<'_, '_, H> {
    #[inline(always)]
    fn rows<S: Simd, const N: usize>(&self, output: usize) {
        let depth = self.weight.depth;
        let lines = core::array::from_fn(|n| self.weight.line(output + n, 0, depth));
        let mut row = 0;
        let mut rest = self.x;
        while rest.len() >= 4 * depth {
            self.block::<S, N, 4>(rest, lines, output, row);
            rest = &rest[4 * depth..];
            row += 4;
        }
        while !rest.is_empty() {
            self.block::<S, N, 1>(rest, lines, output, row);
            rest = &rest[depth..];
            row += 1;
        }
    }

    /// Computes `N` outputs of `R` rows, the first ones of `x`.
    #[inline(always)]
    fn block<S: Simd, const N: usize, const R: usize>(
        &self,
        x: &[f32],
        lines: [&[H]; N],
        output: usize,
        row: usize,
    ) {
        let depth = self.weight.depth;
        let rows: [&[f32]; R] = core::array::from_fn(|r| &x[r * depth..][..depth]);
        let whole = depth - depth % S::LANES;
        let mut lanes = [[[0.0f32; PARTS]; N]; R];
        // SAFETY: the instructions are there, and all lines and rows have `depth` values.
        unsafe {
            let mut sums = [[S::splat(0.0); N]; R];
            let mut k = 0;
            while k < whole {
                // The loop is written so that the compiler keeps whole vectors.
                let mut weights = [S::splat(0.0); N];
                for (weight, line) in weights.iter_mut().zip(&lines) {
                    *weight = H::load::<S>(line.as_ptr().add(k));
                }
                for (sums, x) in sums.iter_mut().zip(&rows) {
                    let x = S::load(x.as_ptr().add(k));
                    for (sum, &weight) in sums.iter_mut().zip(&weights) {
                        *sum = S::mul_add(x, weight, *sum);
                    }
                }
                k += S::LANES;
            }
            for (lanes, sums) in lanes.iter_mut().zip(sums) {
                for (lanes, sum) in lanes.iter_mut().zip(sums) {
                    S::store(lanes.as_mut_ptr(), sum);
                }
            }
        }
        for (r, sums) in lanes.iter().enumerate() {
            let mut values: [f32; N] = core::array::from_fn(|n| total(sums[n]));
            if whole < depth {
                for (value, line) in values.iter_mut().zip(lines) {
                    let weights = tail::<S, H>(&line[whole..]);
                    for (&x, weight) in rows[r][whole..].iter().zip(weights) {
                        *value += x * weight;
                    }
                }
            }
            // SAFETY: these outputs belong to this task alone.
            unsafe {
                let columns = output..output + N;
                self.out.store(row + r, columns, &values, self.bias);
            }
        }
    }
}
