//! Products of bf16 by bf16, two inputs at a time, on processors with AVX512-BF16: twice the
//! throughput of f32. Products and sums are f32.

use core::arch::x86_64::*;

use burn::tensor::bf16;

use super::super::instruction_set::InstructionSet;
use super::super::product::{packed_len, padded};
use super::blocks::{BLOCK, Blocks};

/// Values of a vector.
const LANES: usize = 16;

/// Two bf16 in one word, the first in its low half.
pub(crate) type Pair = u32;

/// Two weights.
#[inline(always)]
pub(super) fn of(low: bf16, high: bf16) -> Pair {
    u32::from(low.to_bits()) | u32::from(high.to_bits()) << 16
}

/// Reinterprets pairs as floats, for code that only moves them.
pub(crate) fn as_floats(pairs: &[Pair]) -> &[f32] {
    // SAFETY: both are 32-bit words without invalid bit patterns.
    unsafe { core::slice::from_raw_parts(pairs.as_ptr().cast(), pairs.len()) }
}

/// Reinterprets pairs as floats, for code that only moves them.
pub(crate) fn as_floats_mut(pairs: &mut [Pair]) -> &mut [f32] {
    // SAFETY: both are 32-bit words without invalid bit patterns.
    unsafe { core::slice::from_raw_parts_mut(pairs.as_mut_ptr().cast(), pairs.len()) }
}

/// Returns whether the processor has the instructions, in which case panels are packed for them.
#[inline]
pub(crate) fn are_multiplied() -> bool {
    InstructionSet::current() == InstructionSet::Avx512Bf16
}

/// Rounds inputs by pairs to nearest even; the last of an odd number is paired with a zero.
/// Requires that pairs [are multiplied](are_multiplied).
pub(crate) fn round(inputs: &[f32], pairs: &mut [Pair]) {
    assert!(are_multiplied() && pairs.len() == inputs.len().div_ceil(2));
    // SAFETY: the instructions are there.
    unsafe { round_vectors(inputs, pairs) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
fn round_vectors(inputs: &[f32], pairs: &mut [Pair]) {
    let (inputs, last) = inputs.as_chunks::<{ 2 * LANES }>();
    let (vectors, rest) = pairs.as_chunks_mut::<LANES>();
    for (inputs, pairs) in inputs.iter().zip(vectors.iter_mut()) {
        // SAFETY: the arrays have the vectors' sizes.
        unsafe {
            let low = _mm512_loadu_ps(inputs.as_ptr());
            let high = _mm512_loadu_ps(inputs.as_ptr().add(LANES));
            let both: __m512i = core::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(pairs.as_mut_ptr().cast(), both);
        }
    }
    // An odd number of inputs may leave the last vector of pairs whole.
    let left = match rest.is_empty() && !last.is_empty() {
        true => vectors
            .last_mut()
            .map_or(&mut [][..], |pairs| &mut pairs[..]),
        false => rest,
    };
    for (inputs, pair) in last.chunks(2).zip(left) {
        *pair = rounded(inputs[0], inputs.get(1).copied().unwrap_or(0.0));
    }
}

/// Rounds two rows to nearest even, each value of one paired with that of the other. Requires that
/// pairs [are multiplied](are_multiplied).
pub(crate) fn round_rows(low: &[f32], high: &[f32], pairs: &mut [Pair]) {
    assert!(are_multiplied() && low.len() == pairs.len() && high.len() == pairs.len());
    // SAFETY: the instructions are there.
    unsafe { round_row_vectors(low, high, pairs) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
fn round_row_vectors(low: &[f32], high: &[f32], pairs: &mut [Pair]) {
    let (lows, low) = low.as_chunks::<LANES>();
    let (highs, high) = high.as_chunks::<LANES>();
    let (vectors, pairs) = pairs.as_chunks_mut::<LANES>();
    for (pairs, (low, high)) in vectors.iter_mut().zip(lows.iter().zip(highs)) {
        // SAFETY: the arrays have the vectors' sizes.
        unsafe {
            let low = _mm512_cvtneps_pbh(_mm512_loadu_ps(low.as_ptr()));
            let high = _mm512_cvtneps_pbh(_mm512_loadu_ps(high.as_ptr()));
            let [low, high]: [__m256i; 2] = core::mem::transmute([low, high]);
            let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
            let both = _mm512_or_si512(_mm512_cvtepu16_epi32(low), high);
            _mm512_storeu_si512(pairs.as_mut_ptr().cast(), both);
        }
    }
    for (pair, (&low, &high)) in pairs.iter_mut().zip(low.iter().zip(high)) {
        *pair = rounded(low, high);
    }
}

/// Rounds two inputs to nearest even; NaN stays NaN.
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

/// Computes `C = A · B` or `C += A · B`; the padding of C is overwritten too. Requires that pairs
/// [are multiplied](are_multiplied).
pub(crate) fn product(blocks: Blocks<'_, Pair>) {
    let (rows, pairs) = (blocks.rows(), blocks.depth());
    if rows == 0 || pairs == 0 {
        return;
    }
    assert!(are_multiplied() && rows <= BLOCK);
    assert!(
        blocks.panels.len() >= packed_len(pairs, blocks.width),
        "B is too short"
    );
    let row = padded(blocks.width);
    assert!(blocks.stride >= row, "rows of C overlap");
    assert!(
        blocks.c.len() >= (rows - 1) * blocks.stride + row,
        "C is too short"
    );
    // SAFETY: the instructions are there, and all is in bounds.
    unsafe { panels(blocks) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
unsafe fn panels(blocks: Blocks<'_, Pair>) {
    let mut first = 0;
    while first < padded(blocks.width) {
        let panel = (2 * LANES).min(padded(blocks.width) - first);
        // SAFETY: as the caller's.
        unsafe {
            let b = blocks.panels.as_ptr().add(first * blocks.depth());
            let c = blocks.c.as_mut_ptr().add(first);
            if panel == LANES {
                rows::<1>(&blocks, b, c);
            } else {
                rows::<2>(&blocks, b, c);
            }
        }
        first += panel;
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
unsafe fn rows<const V: usize>(blocks: &Blocks<'_, Pair>, b: *const Pair, c: *mut f32) {
    macro_rules! by_rows {
        ($($n:literal)*) => {
            match blocks.rows() {
                // SAFETY: as the caller's.
                $($n => unsafe { block::<V, $n>(blocks, b, c) },)*
                _ => unreachable!("a block has at most {BLOCK} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6 7 8 9 10 11 12)
}

/// `R` rows by `V` vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
unsafe fn block<const V: usize, const R: usize>(
    blocks: &Blocks<'_, Pair>,
    mut b: *const Pair,
    c: *mut f32,
) {
    let mut a = blocks.a.as_ptr().cast::<i32>();
    let mut sums = [[_mm512_setzero_ps(); V]; R];
    // SAFETY: all accesses are in bounds, as the caller guarantees.
    unsafe {
        for _ in 0..blocks.depth() {
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
            a = a.add(BLOCK);
            b = b.add(V * LANES);
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (v, mut sum) in sums.into_iter().enumerate() {
                let c = c.add(r * blocks.stride + v * LANES);
                if blocks.accumulate {
                    sum = _mm512_add_ps(sum, _mm512_loadu_ps(c));
                }
                _mm512_storeu_ps(c, sum);
            }
        }
    }
}

/// Adds the products of one pair to each sum.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn dot(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
    // SAFETY: vectors of equal size without invalid bit patterns.
    let [a, b]: [__m512bh; 2] = unsafe { core::mem::transmute([a, b]) };
    _mm512_dpbf16_ps(sums, a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_rounded_as_pairs() {
        if !are_multiplied() {
            return;
        }
        for length in [1_usize, 2, 31, 32, 33, 63, 64, 65, 70] {
            let inputs: Vec<f32> = (0..length).map(|i| (i as f32 - 20.3) * 1.37).collect();
            let mut found = vec![0; length.div_ceil(2)];
            round(&inputs, &mut found);
            let at = |i: usize| inputs.get(i).copied().unwrap_or(0.0);
            for (index, found) in found.into_iter().enumerate() {
                let expected = rounded(at(2 * index), at(2 * index + 1));
                assert_eq!(found, expected, "pair {index} of {length}");
            }
        }
    }

    #[test]
    fn rows_are_rounded_as_pairs() {
        if !are_multiplied() {
            return;
        }
        for length in [1_usize, 15, 16, 17, 50] {
            let low: Vec<f32> = (0..length).map(|i| (i as f32 - 20.3) * 1.37).collect();
            let high: Vec<f32> = low.iter().map(|x| 3.0 - x * x).collect();
            let mut found = vec![0; length];
            round_rows(&low, &high, &mut found);
            for (found, (&low, &high)) in found.into_iter().zip(low.iter().zip(&high)) {
                assert_eq!(found, rounded(low, high));
            }
        }
    }

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
