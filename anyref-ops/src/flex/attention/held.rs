//! Keys and values as they lie in memory: f32, halves, or steps of eight bits with scales.

use super::super::linear::{Stored, tail};
use super::super::math::{PARTS, dot, total};
use super::super::simd::{Kernel, Simd, dispatch, mul_add, widen_f16};
use super::problem::Rows;
use burn::tensor::f16;

/// Batch entry, head and row.
pub(super) type At = (usize, usize, usize);

/// Rows of keys or values. The methods may only be called inside a kernel of `S`.
pub(super) trait Held: Sync {
    /// `query · row`
    fn dot<S: Simd>(&self, at: At, query: &[f32]) -> f32;

    /// `out ← out + factor · row`
    fn add_to<S: Simd>(&self, at: At, factor: f32, out: &mut [f32]);
}

impl Held for Rows<'_, f32> {
    #[inline(always)]
    fn dot<S: Simd>(&self, (b, h, i): At, query: &[f32]) -> f32 {
        dot::<S>(query, self.row(b, h, i))
    }

    #[inline(always)]
    fn add_to<S: Simd>(&self, (b, h, i): At, factor: f32, out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(self.row(b, h, i)) {
            *out = mul_add::<S>(factor, x, *out);
        }
    }
}

/// Rows that are narrower than f32.
pub(super) trait Narrow: Held {
    /// `out = row`
    fn widen<S: Simd>(&self, at: At, out: &mut [f32]);
}

/// Copies rows of a head from `first` on, widened, one after another.
pub(super) struct Widen<'a, R> {
    pub(super) rows: &'a R,
    /// Batch entry and head.
    pub(super) at: (usize, usize),
    pub(super) first: usize,
    pub(super) width: usize,
    /// As many rows as are copied.
    pub(super) out: &'a mut [f32],
}

impl<R: Narrow> Widen<'_, R> {
    pub(super) fn copy(self) {
        dispatch(self);
    }
}

impl<R: Narrow> Kernel for Widen<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (b, h) = self.at;
        for (offset, out) in self.out.chunks_exact_mut(self.width).enumerate() {
            self.rows.widen::<S>((b, h, self.first + offset), out);
        }
    }
}

/// Rows of halves.
pub(super) struct Halves<'a, H>(pub(super) Rows<'a, H>);

/// Length in whole vectors.
#[inline(always)]
fn whole<S: Simd>(length: usize) -> usize {
    length - length % S::LANES
}

/// Sum of the lanes of two vectors.
///
/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn sum<S: Simd>([a, b]: [S::Vector; 2]) -> f32 {
    let mut lanes = [0.0; PARTS];
    // SAFETY: no vector has more lanes than the array.
    unsafe { S::store(lanes.as_mut_ptr(), S::add(a, b)) };
    total(lanes)
}

impl<H: Stored> Held for Halves<'_, H> {
    #[inline(always)]
    fn dot<S: Simd>(&self, (b, h, i): At, query: &[f32]) -> f32 {
        let row = self.0.row(b, h, i);
        let query = &query[..row.len()];
        let whole = whole::<S>(row.len());
        // SAFETY: the instructions are there, and both have `whole` values.
        let dot = unsafe {
            let mut sums = [S::splat(0.0); 2];
            let mut k = 0;
            while k < whole {
                let (x, y) = (
                    S::load(query.as_ptr().add(k)),
                    H::load::<S>(row.as_ptr().add(k)),
                );
                // The sums take turns.
                sums = [sums[1], S::mul_add(x, y, sums[0])];
                k += S::LANES;
            }
            sum::<S>(sums)
        };
        let rest = tail::<S, H>(&row[whole..]);
        let rest = query[whole..].iter().zip(rest);
        dot + rest.map(|(x, y)| x * y).sum::<f32>()
    }

    #[inline(always)]
    fn add_to<S: Simd>(&self, (b, h, i): At, factor: f32, out: &mut [f32]) {
        let row = self.0.row(b, h, i);
        let out = &mut out[..row.len()];
        let whole = whole::<S>(row.len());
        // SAFETY: as above.
        unsafe {
            let factor = S::splat(factor);
            let mut k = 0;
            while k < whole {
                let at = out.as_mut_ptr().add(k);
                let y = H::load::<S>(row.as_ptr().add(k));
                S::store(at, S::mul_add(factor, y, S::load(at)));
                k += S::LANES;
            }
        }
        let rest = tail::<S, H>(&row[whole..]);
        for (out, y) in out[whole..].iter_mut().zip(rest) {
            *out = mul_add::<S>(factor, y, *out);
        }
    }
}

impl<H: Stored> Narrow for Halves<'_, H> {
    #[inline(always)]
    fn widen<S: Simd>(&self, (b, h, i): At, out: &mut [f32]) {
        let row = self.0.row(b, h, i);
        let out = &mut out[..row.len()];
        let whole = whole::<S>(row.len());
        // SAFETY: as above.
        unsafe {
            let mut k = 0;
            while k < whole {
                S::store(out.as_mut_ptr().add(k), H::load::<S>(row.as_ptr().add(k)));
                k += S::LANES;
            }
        }
        let rest = tail::<S, H>(&row[whole..]);
        out[whole..].copy_from_slice(&rest[..row.len() - whole]);
    }
}

/// Rows of blocks of [`BLOCK`] steps with a scale.
pub(super) struct Steps<'a> {
    /// Each step with 128 added.
    pub(super) steps: Rows<'a, u8>,
    pub(super) scales: Rows<'a, f16>,
}

/// Steps of a scale.
const BLOCK: usize = 32;

impl Steps<'_> {
    /// Blocks of a row with their scales.
    #[inline(always)]
    fn blocks(&self, (b, h, i): At) -> impl Iterator<Item = (&[u8; BLOCK], f32)> {
        let steps = self.steps.row(b, h, i).as_chunks::<BLOCK>().0;
        let scales = self.scales.row(b, h, i);
        steps
            .iter()
            .zip(scales.iter().map(|scale| widen_f16(scale.to_bits())))
    }
}

impl Held for Steps<'_> {
    #[inline(always)]
    fn dot<S: Simd>(&self, at: At, query: &[f32]) -> f32 {
        let query = query.as_chunks::<BLOCK>().0;
        // SAFETY: the instructions are there, and blocks are whole vectors.
        unsafe {
            let mut sums = [S::splat(0.0); 2];
            for (query, (steps, scale)) in query.iter().zip(self.blocks(at)) {
                let mut products = S::splat(0.0);
                for k in (0..BLOCK).step_by(S::LANES) {
                    let (x, y) = (
                        S::load(query.as_ptr().add(k)),
                        S::load_steps(steps.as_ptr().add(k)),
                    );
                    products = S::mul_add(x, y, products);
                }
                sums = [sums[1], S::mul_add(S::splat(scale), products, sums[0])];
            }
            sum::<S>(sums)
        }
    }

    #[inline(always)]
    fn add_to<S: Simd>(&self, at: At, factor: f32, out: &mut [f32]) {
        let out = out.as_chunks_mut::<BLOCK>().0;
        // SAFETY: as above.
        unsafe {
            for (out, (steps, scale)) in out.iter_mut().zip(self.blocks(at)) {
                let factor = S::splat(factor * scale);
                for k in (0..BLOCK).step_by(S::LANES) {
                    let at = out.as_mut_ptr().add(k);
                    let y = S::load_steps(steps.as_ptr().add(k));
                    S::store(at, S::mul_add(factor, y, S::load(at)));
                }
            }
        }
    }
}

impl Narrow for Steps<'_> {
    #[inline(always)]
    fn widen<S: Simd>(&self, at: At, out: &mut [f32]) {
        out.fill(0.0);
        self.add_to::<S>(at, 1.0, out);
    }
}
