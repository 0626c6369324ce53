//! Products of bf16 by bf16, two inputs at a time, on processors that have an instruction for them (AVX512-BF16): twice
//! as many a second as of f32. Products and sums are f32.

use core::arch::x86_64::*;

use burn::tensor::bf16;

use super::super::product::{packed_len, padded};

/// Values of a vector.
const LANES: usize = 16;
/// Rows of a register block.
pub(super) const ROWS: usize = 12;

/// Two bf16 in one word, the first in its low half.
pub(super) type Pair = u32;

/// Two weights.
#[inline(always)]
pub(super) fn of(low: bf16, high: bf16) -> Pair {
    u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16
}

/// The same bits, for what only moves them.
pub(super) fn as_floats(pairs: &[Pair]) -> &[f32] {
    // SAFETY: both are words of 32 bits, of which every pattern is a value.
    unsafe { core::slice::from_raw_parts(pairs.as_ptr().cast(), pairs.len()) }
}

/// The same bits, for what only moves them.
pub(super) fn as_floats_mut(pairs: &mut [Pair]) -> &mut [f32] {
    // SAFETY: both are words of 32 bits, of which every pattern is a value.
    unsafe { core::slice::from_raw_parts_mut(pairs.as_mut_ptr().cast(), pairs.len()) }
}

/// Whether the processor has the instructions.
#[inline]
pub(super) fn are_multiplied() -> bool {
    is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
}

/// Two inputs, rounded to nearest even; what is no number stays so.
#[inline(always)]
pub(super) fn rounded(low: f32, high: f32) -> Pair {
    let round = |x: f32| {
        let bits = x.to_bits();
        let even = (bits >> 16) & 1;
        let bits = if x.is_nan() {
            bits | 0x0040_0000
        } else {
            bits + 0x7fff + even
        };
        bits >> 16
    };
    round(low) | round(high) << 16
}

/// What [`product`] takes.
pub(super) struct PairProduct<'a> {
    /// One pair of all rows after another, rows [`ROWS`] apart.
    pub(super) a: &'a [Pair],
    /// `[pairs, width]`, packed in panels.
    pub(super) b: &'a [Pair],
    /// `[rows, width]` with rows `stride` apart.
    pub(super) c: &'a mut [f32],
    pub(super) stride: usize,
    /// At most [`ROWS`].
    pub(super) rows: usize,
    pub(super) pairs: usize,
    pub(super) width: usize,
    /// Adds to C instead of overwriting it.
    pub(super) accumulate: bool,
}

/// `C = A · B` or `C += A · B`; the padding of C is overwritten too. Only where they [are multiplied](are_multiplied).
pub(super) fn product(product: PairProduct<'_>) {
    let PairProduct {
        rows,
        pairs,
        width,
        stride,
        ..
    } = product;
    if rows == 0 || pairs == 0 {
        return;
    }
    assert!(are_multiplied() && rows <= ROWS);
    assert!(product.a.len() >= pairs * ROWS, "A is too short");
    assert!(
        product.b.len() >= packed_len(pairs, width),
        "B is too short"
    );
    assert!(stride >= padded(width), "rows of C overlap");
    assert!(
        product.c.len() >= (rows - 1) * stride + padded(width),
        "C is too short"
    );
    // SAFETY: the instructions are there, and all is in bounds.
    unsafe { panels(product) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
unsafe fn panels(product: PairProduct<'_>) {
    let mut first = 0;
    while first < padded(product.width) {
        let panel = (2 * LANES).min(padded(product.width) - first);
        // SAFETY: as the caller's.
        unsafe {
            let b = product.b.as_ptr().add(first * product.pairs);
            let c = product.c.as_mut_ptr().add(first);
            if panel == LANES {
                rows::<1>(&product, b, c);
            } else {
                rows::<2>(&product, b, c);
            }
        }
        first += panel;
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
unsafe fn rows<const V: usize>(product: &PairProduct<'_>, b: *const Pair, c: *mut f32) {
    macro_rules! by_rows {
        ($($n:literal)*) => {
            match product.rows {
                // SAFETY: as the caller's.
                $($n => unsafe { block::<V, $n>(product, b, c) },)*
                _ => unreachable!("a block has at most {ROWS} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12)
}

/// `R` rows by `V` vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
unsafe fn block<const V: usize, const R: usize>(
    product: &PairProduct<'_>,
    mut b: *const Pair,
    c: *mut f32,
) {
    let mut a = product.a.as_ptr().cast::<i32>();
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    // SAFETY: all is in bounds, by the caller's word.
    unsafe {
        for _ in 0..product.pairs {
            let mut columns = [_mm512_setzero_si512(); V];
            for (v, column) in columns.iter_mut().enumerate() {
                *column = _mm512_loadu_si512(b.add(v * LANES).cast());
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(*a.add(r));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = dot(*sum, x, column);
                }
            }
            a = a.add(ROWS);
            b = b.add(V * LANES);
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (v, mut sum) in sums.into_iter().enumerate() {
                let c = c.add(r * product.stride + v * LANES);
                if product.accumulate {
                    sum = _mm512_add_ps(sum, _mm512_loadu_ps(c));
                }
                _mm512_storeu_ps(c, sum);
            }
        }
    }
}

/// The sums, each with the products of a pair added.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn dot(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: vectors of the same size, in which every pattern of bits is a value.
    let [a, b]: [__m512bh; 2] = unsafe { core::mem::transmute([a, b]) };
    _mm512_dpbf16_ps(sums, a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_rounded_as_bf16_is() {
        let same = |x: f32| {
            let expected = bf16::from_f32(x);
            let pair = rounded(x, -x);
            let found = [pair as u16, (pair >> 16) as u16].map(bf16::from_bits);
            if x.is_nan() {
                assert!(found[0].is_nan() && found[1].is_nan());
            } else {
                assert_eq!([expected, -expected], found, "{x}");
            }
        };
        for exponent in 0..256u32 {
            for low in [
                0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1_8000, 0x7f_8000, 0x7f_ffff,
            ] {
                same(f32::from_bits(exponent << 23 | low));
            }
        }
    }
}
