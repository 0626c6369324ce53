//! GEMV over the columns of a weight `[outputs, inputs]` whose columns are contiguous, as in burn's
//! layout: each input adds its multiple of a column. Every weight is read once, in memory order;
//! each thread keeps its own sums.

use rayon::prelude::*;

use super::super::simd::{Kernel, Simd, dispatch};
use super::stored::{Stored, tail};
use super::weight::Weight;

/// Inputs that are added together.
const TOGETHER: usize = 8;
/// Minimum number of weights of a task.
const TASK: usize = 64 * 1024;

/// `out[r, n] = Σ x[r, k] · weight[k, n] + bias[n]`
pub(crate) fn product<H: Stored>(
    x: &[f32],
    weight: Weight<'_, H>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let Weight { depth, width, .. } = weight;
    assert_eq!(x.len() / depth, out.len() / width);
    match bias {
        Some(bias) => out
            .chunks_exact_mut(width)
            .for_each(|out| out.copy_from_slice(bias)),
        None => out.fill(0.0),
    }
    let tasks = (depth * width)
        .div_ceil(TASK)
        .min(rayon::current_num_threads())
        .max(1);
    let inputs = depth.div_ceil(tasks);
    let add = |task: usize, sums: &mut [f32]| {
        let (first, last) = (task * inputs, ((task + 1) * inputs).min(depth));
        dispatch(Inputs {
            x,
            weight,
            sums,
            first,
            last,
        });
    };
    let mut partial = vec![0.0; (tasks - 1) * out.len()];
    let others = partial.par_chunks_mut(out.len()).enumerate();
    rayon::join(
        || others.for_each(|(index, sums)| add(index + 1, sums)),
        || add(0, &mut *out),
    );
    for partial in partial.chunks_exact(out.len()) {
        for (out, part) in out.iter_mut().zip(partial) {
            *out += part;
        }
    }
}

/// Adds the inputs `first..last` of all rows to their sums.
struct Inputs<'a, H> {
    x: &'a [f32],
    weight: Weight<'a, H>,
    sums: &'a mut [f32],
    first: usize,
    last: usize,
}

impl<H: Stored> Kernel for Inputs<'_, H> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        while self.first + TOGETHER <= self.last {
            self.add::<S, TOGETHER>();
            self.first += TOGETHER;
        }
        while self.first < self.last {
            self.add::<S, 1>();
            self.first += 1;
        }
    }
}

impl<H: Stored> Inputs<'_, H> {
    /// Adds `N` inputs to all rows while their lines are in the cache.
    #[inline(always)]
    fn add<S: Simd, const N: usize>(&mut self) {
        let Weight { depth, width, .. } = self.weight;
        let lines: [&[H]; N] = core::array::from_fn(|n| self.weight.line(self.first + n, 0, width));
        let rows = self.x.chunks_exact(depth);
        for (x, sums) in rows.zip(self.sums.chunks_exact_mut(width)) {
            add_lines::<S, H, N>(&x[self.first..][..N], lines, sums);
        }
    }
}

/// `sums[n] += Σ x[k] · lines[k][n]`
#[inline(always)]
fn add_lines<S: Simd, H: Stored, const N: usize>(x: &[f32], lines: [&[H]; N], sums: &mut [f32]) {
    let width = sums.len();
    let whole = width - width % S::LANES;
    // SAFETY: the instructions are there, and all lines have `width` values.
    unsafe {
        let mut factors = [S::splat(0.0); N];
        for (factor, &x) in factors.iter_mut().zip(x) {
            *factor = S::splat(x);
        }
        let mut n = 0;
        while n < whole {
            let at = sums.as_mut_ptr().add(n);
            let mut sum = S::load(at);
            for (factor, line) in factors.iter().zip(&lines) {
                sum = S::mul_add(*factor, H::load::<S>(line.as_ptr().add(n)), sum);
            }
            S::store(at, sum);
            n += S::LANES;
        }
    }
    if whole < width {
        for (&x, line) in x.iter().zip(&lines) {
            let weights = tail::<S, H>(&line[whole..]);
            for (sum, weight) in sums[whole..].iter_mut().zip(weights) {
                *sum += x * weight;
            }
        }
    }
}
