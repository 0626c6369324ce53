//! Integer products of each instruction set.

use super::panels::{IN_WORD, OUTPUTS, half};

/// Instruction set with vectors of four-byte words, each holding inputs of one output.
///
/// # Safety
/// The methods may only be called on a machine that has the instructions, with pointers valid for
/// as many bytes as a vector holds.
pub(super) unsafe trait Form: Copy + 'static {
    /// Outputs of a vector.
    const OUTPUTS: usize;
    /// Multiplies eight-bit weights as signed values, so that the product needs no start.
    const SIGNED: bool;
    /// Four unsigned bytes of each output.
    type Bytes: Copy;
    /// Integers.
    type Ints: Copy;
    /// Floats.
    type Floats: Copy;

    /// Asks for the cache line of an address, which need not be valid.
    #[inline(always)]
    unsafe fn prefetch(_p: *const u8) {}
    /// Unaligned load.
    unsafe fn load(p: *const u8) -> Self::Bytes;
    /// Low four bits of each byte.
    unsafe fn low(bytes: Self::Bytes) -> Self::Bytes;
    /// High four bits of each byte.
    unsafe fn high(bytes: Self::Bytes) -> Self::Bytes;
    /// `low`, with the bits `SHIFT` and `SHIFT + 1` of `bits` as the fifth and sixth of each byte.
    unsafe fn six<const SHIFT: u32>(low: Self::Bytes, bits: Self::Bytes) -> Self::Bytes;
    /// `start + Σ weights · x` over `N` words, of weights below `1 << BITS`.
    unsafe fn dot<const BITS: u32, const N: usize>(
        start: i32,
        weights: &[Self::Bytes; N],
        x: *const i8,
    ) -> Self::Ints;
    /// Integers as floats.
    unsafe fn floats(ints: Self::Ints) -> Self::Floats;
    /// All `x`.
    unsafe fn splat(x: f32) -> Self::Floats;
    /// f16 values.
    unsafe fn halves(p: *const u8) -> Self::Floats;
    /// Unsigned bytes.
    unsafe fn unsigned(p: *const u8) -> Self::Floats;
    /// Signed bytes.
    unsafe fn signed(p: *const u8) -> Self::Floats;
    /// `a · b`
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// Unaligned store.
    unsafe fn store(p: *mut f32, floats: Self::Floats);
}

/// Vectors of the baseline, as the compiler sees fit.
#[derive(Clone, Copy)]
pub(super) struct Portable;

// SAFETY: no instruction beyond the baseline is used.
unsafe impl Form for Portable {
    const OUTPUTS: usize = OUTPUTS;
    const SIGNED: bool = false;
    type Bytes = [u8; OUTPUTS * IN_WORD];
    type Ints = [i32; OUTPUTS];
    type Floats = [f32; OUTPUTS];

    #[inline(always)]
    unsafe fn load(p: *const u8) -> Self::Bytes {
        // SAFETY: the caller's, here and below.
        unsafe { p.cast::<Self::Bytes>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn low(bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|byte| byte & 15)
    }
    #[inline(always)]
    unsafe fn high(bytes: Self::Bytes) -> Self::Bytes {
        bytes.map(|byte| byte >> 4)
    }
    #[inline(always)]
    unsafe fn six<const SHIFT: u32>(low: Self::Bytes, bits: Self::Bytes) -> Self::Bytes {
        core::array::from_fn(|i| low[i] | (bits[i] >> SHIFT & 3) << 4)
    }
    #[inline(always)]
    unsafe fn dot<const BITS: u32, const N: usize>(
        start: i32,
        weights: &[Self::Bytes; N],
        x: *const i8,
    ) -> Self::Ints {
        let mut sums = [start; OUTPUTS];
        for (word, weights) in weights.iter().enumerate() {
            let x = unsafe { x.add(word * IN_WORD).cast::<[i8; IN_WORD]>().read() };
            let x = x.map(i32::from);
            for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<IN_WORD>().0) {
                let products = weights.iter().zip(&x).map(|(&w, x)| i32::from(w) * x);
                *sum += products.sum::<i32>();
            }
        }
        sums
    }
    #[inline(always)]
    unsafe fn floats(ints: Self::Ints) -> Self::Floats {
        ints.map(|x| x as f32)
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::Floats {
        [x; OUTPUTS]
    }
    #[inline(always)]
    unsafe fn halves(p: *const u8) -> Self::Floats {
        let bytes = unsafe { p.cast::<[[u8; 2]; OUTPUTS]>().read() };
        bytes.map(|bytes| half(&bytes))
    }
    #[inline(always)]
    unsafe fn unsigned(p: *const u8) -> Self::Floats {
        unsafe { p.cast::<[u8; OUTPUTS]>().read() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn signed(p: *const u8) -> Self::Floats {
        unsafe { p.cast::<[i8; OUTPUTS]>().read() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        core::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        core::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, floats: Self::Floats) {
        unsafe { p.cast::<Self::Floats>().write_unaligned(floats) }
    }
}
