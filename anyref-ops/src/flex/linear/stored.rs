//! Storage types of weights.

use burn::tensor::{bf16, f16};
use burn_flex::FlexTensor;

use super::super::simd::{Kernel, Simd, dispatch};

/// Float type that every instruction set can load as f32.
///
/// # Safety
/// `load` reads `S::LANES` values.
pub(crate) unsafe trait Stored: Copy + Default + Send + Sync + 'static {
    /// Whole buffer of a tensor.
    fn storage(tensor: &FlexTensor) -> &[Self];
    /// Unaligned load, widened.
    unsafe fn load<S: Simd>(p: *const Self) -> S::Vector;
}

// SAFETY: as the instruction sets promise.
unsafe impl Stored for f16 {
    fn storage(tensor: &FlexTensor) -> &[Self] {
        tensor.storage()
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { S::load_f16(p) }
    }
}

// SAFETY: as the instruction sets promise.
unsafe impl Stored for bf16 {
    fn storage(tensor: &FlexTensor) -> &[Self] {
        tensor.storage()
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { S::load_bf16(p) }
    }
}

// SAFETY: as the instruction sets promise.
unsafe impl Stored for f32 {
    fn storage(tensor: &FlexTensor) -> &[Self] {
        tensor.storage()
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(p: *const Self) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { S::load(p) }
    }
}

/// Widens `values` to f32.
pub(crate) fn widen<H: Stored>(values: &[H], out: &mut [f32]) {
    assert_eq!(values.len(), out.len());
    dispatch(Widen { values, out });
}

struct Widen<'a, H> {
    values: &'a [H],
    out: &'a mut [f32],
}

impl<H: Stored> Kernel for Widen<'_, H> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let mut values = self.values.chunks_exact(S::LANES);
        let mut outs = self.out.chunks_exact_mut(S::LANES);
        for (values, out) in (&mut values).zip(&mut outs) {
            // SAFETY: both have as many values as a vector has lanes.
            unsafe { S::store(out.as_mut_ptr(), H::load::<S>(values.as_ptr())) };
        }
        let (values, out) = (values.remainder(), outs.into_remainder());
        out.copy_from_slice(&tail::<S, H>(values)[..out.len()]);
    }
}

/// Lanes of the widest vector.
const WIDEST: usize = 16;

/// Widens fewer values than a vector has lanes and pads them with zeros.
#[inline(always)]
pub(crate) fn tail<S: Simd, H: Stored>(values: &[H]) -> [f32; WIDEST] {
    let mut padded = [H::default(); WIDEST];
    padded[..values.len()].copy_from_slice(values);
    let mut out = [0.0; WIDEST];
    // SAFETY: no vector has more lanes than the arrays have values.
    unsafe { S::store(out.as_mut_ptr(), H::load::<S>(padded.as_ptr())) };
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::simd::Portable;
    use super::*;

    /// Checks every value on the machine's instructions and on the portable ones.
    #[test]
    fn every_value_is_widened_exactly() {
        fn check<H: Stored>(all: Vec<H>, to_f32: fn(H) -> f32) {
            let mut machine = vec![0.0; all.len()];
            widen(&all, &mut machine);
            let mut portable = vec![0.0; all.len()];
            Widen {
                values: &all,
                out: &mut portable,
            }
            .run::<Portable>();
            for (&value, found) in all.iter().zip(machine.iter().zip(&portable)) {
                let expected = to_f32(value);
                if expected.is_nan() {
                    assert!(found.0.is_nan() && found.1.is_nan());
                } else {
                    let bits = expected.to_bits();
                    assert_eq!((found.0.to_bits(), found.1.to_bits()), (bits, bits));
                }
            }
        }
        check((0..=u16::MAX).map(f16::from_bits).collect(), f16::to_f32);
        check((0..=u16::MAX).map(bf16::from_bits).collect(), bf16::to_f32);
    }
}
