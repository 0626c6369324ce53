//! Forms of AVX2, AVX-VNNI, AVX-512 and AVX512-VNNI.

use core::arch::x86_64::*;

use super::matrix::OFFSET;
use super::tile::Form;

// SAFETY of all methods: as the trait says.

/// AVX2: products of magnitudes with inputs of the other's sign, whose pairs fit sixteen bits.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

unsafe impl Form for Avx2 {
    const OUTPUTS: usize = 8;
    const ROWS: usize = 4;
    const OFFSET: bool = false;
    /// Values and magnitudes.
    type Weights = [__m256i; 2];
    type Input = __m256i;
    type Sums = __m256i;

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> [__m256i; 2] {
        unsafe {
            let offset = _mm256_set1_epi8(OFFSET as i8);
            let weights = _mm256_xor_si256(_mm256_loadu_si256(p.cast()), offset);
            [weights, _mm256_abs_epi8(weights)]
        }
    }
    #[inline(always)]
    unsafe fn input(p: *const u32) -> __m256i {
        unsafe { _mm256_set1_epi32(*p as i32) }
    }
    #[inline(always)]
    unsafe fn start(x: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m256i, [weights, sizes]: [__m256i; 2], input: __m256i) -> __m256i {
        unsafe {
            let pairs = _mm256_maddubs_epi16(sizes, _mm256_sign_epi8(input, weights));
            let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
            _mm256_add_epi32(sums, fours)
        }
    }
    #[inline(always)]
    unsafe fn finish(
        sums: __m256i,
        scale: f32,
        scales: *const f32,
        bias: *const f32,
        out: *mut f32,
    ) {
        unsafe { finish_256(sums, scale, scales, bias, out) }
    }
}

/// AVX2 with products of bytes (AVX-VNNI).
#[derive(Clone, Copy)]
pub(super) struct AvxVnni;

unsafe impl Form for AvxVnni {
    const OUTPUTS: usize = 8;
    const ROWS: usize = 6;
    const OFFSET: bool = true;
    type Weights = __m256i;
    type Input = __m256i;
    type Sums = __m256i;

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> __m256i {
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn input(p: *const u32) -> __m256i {
        unsafe { _mm256_set1_epi32(*p as i32) }
    }
    #[inline(always)]
    unsafe fn start(x: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m256i, weights: __m256i, input: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sums, weights, input) }
    }
    #[inline(always)]
    unsafe fn finish(
        sums: __m256i,
        scale: f32,
        scales: *const f32,
        bias: *const f32,
        out: *mut f32,
    ) {
        unsafe { finish_256(sums, scale, scales, bias, out) }
    }
}

#[inline(always)]
unsafe fn finish_256(
    sums: __m256i,
    scale: f32,
    scales: *const f32,
    bias: *const f32,
    out: *mut f32,
) {
    unsafe {
        let steps = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps(scale));
        let values = _mm256_mul_ps(steps, _mm256_loadu_ps(scales));
        _mm256_storeu_ps(out, _mm256_add_ps(values, _mm256_loadu_ps(bias)));
    }
}

/// AVX-512 F, VL, BW and DQ, as the form of AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

unsafe impl Form for Avx512 {
    const OUTPUTS: usize = 16;
    const ROWS: usize = 6;
    const OFFSET: bool = false;
    /// Magnitudes, and which are negative.
    type Weights = (__m512i, __mmask64);
    type Input = __m512i;
    type Sums = __m512i;

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> (__m512i, __mmask64) {
        unsafe {
            let offset = _mm512_set1_epi8(OFFSET as i8);
            let weights = _mm512_xor_si512(_mm512_loadu_si512(p.cast()), offset);
            (_mm512_abs_epi8(weights), _mm512_movepi8_mask(weights))
        }
    }
    #[inline(always)]
    unsafe fn input(p: *const u32) -> __m512i {
        unsafe { _mm512_set1_epi32(*p as i32) }
    }
    #[inline(always)]
    unsafe fn start(x: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn dot(
        sums: __m512i,
        (sizes, negative): (__m512i, __mmask64),
        input: __m512i,
    ) -> __m512i {
        unsafe {
            let input = _mm512_mask_sub_epi8(input, negative, _mm512_setzero_si512(), input);
            let pairs = _mm512_maddubs_epi16(sizes, input);
            let fours = _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
            _mm512_add_epi32(sums, fours)
        }
    }
    #[inline(always)]
    unsafe fn finish(
        sums: __m512i,
        scale: f32,
        scales: *const f32,
        bias: *const f32,
        out: *mut f32,
    ) {
        unsafe { finish_512(sums, scale, scales, bias, out) }
    }
}

/// AVX-512 with products of bytes (AVX512-VNNI).
#[derive(Clone, Copy)]
pub(super) struct Vnni;

unsafe impl Form for Vnni {
    const OUTPUTS: usize = 16;
    const ROWS: usize = 12;
    const OFFSET: bool = true;
    type Weights = __m512i;
    type Input = __m512i;
    type Sums = __m512i;

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn input(p: *const u32) -> __m512i {
        unsafe { _mm512_set1_epi32(*p as i32) }
    }
    #[inline(always)]
    unsafe fn start(x: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m512i, weights: __m512i, input: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, weights, input) }
    }
    #[inline(always)]
    unsafe fn finish(
        sums: __m512i,
        scale: f32,
        scales: *const f32,
        bias: *const f32,
        out: *mut f32,
    ) {
        unsafe { finish_512(sums, scale, scales, bias, out) }
    }
}

#[inline(always)]
unsafe fn finish_512(
    sums: __m512i,
    scale: f32,
    scales: *const f32,
    bias: *const f32,
    out: *mut f32,
) {
    unsafe {
        let steps = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_set1_ps(scale));
        let values = _mm512_mul_ps(steps, _mm512_loadu_ps(scales));
        _mm512_storeu_ps(out, _mm512_add_ps(values, _mm512_loadu_ps(bias)));
    }
}
