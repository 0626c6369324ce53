//! Forms of AVX2, AVX-VNNI, AVX-512 and AVX512-VNNI.

use core::arch::x86_64::*;

use super::form::Form;
use super::panels::IN_WORD;

/// Loads four inputs, shared by all outputs.
#[inline(always)]
unsafe fn word(x: *const i8, index: usize) -> i32 {
    // SAFETY: the caller's.
    unsafe { x.add(index * IN_WORD).cast::<i32>().read_unaligned() }
}

/// Sums of products of AVX2.
#[inline(always)]
unsafe fn dot_256<const BITS: u32, const N: usize>(
    start: i32,
    weights: &[__m256i; N],
    x: *const i8,
) -> __m256i {
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let mut sums = _mm256_set1_epi32(start);
        // Pairs of products of 15 · 127 fit sixteen bits eight times, of 63 · 127 twice.
        let together = match BITS {
            4 => 8,
            6 => 2,
            _ => 1,
        };
        let mut pairs = _mm256_setzero_si256();
        for (index, &weight) in weights.iter().enumerate() {
            let x = _mm256_set1_epi32(word(x, index));
            let products = match BITS {
                8 => {
                    let weight = _mm256_xor_si256(weight, _mm256_set1_epi8(-128));
                    let x = _mm256_sign_epi8(x, weight);
                    _mm256_maddubs_epi16(_mm256_abs_epi8(weight), x)
                }
                _ => _mm256_maddubs_epi16(weight, x),
            };
            pairs = match index % together {
                0 => products,
                _ => _mm256_add_epi16(pairs, products),
            };
            if (index + 1) % together == 0 || index + 1 == N {
                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones));
            }
        }
        sums
    }
}

/// Sums of products of AVX-VNNI.
#[inline(always)]
unsafe fn dot_avx_vnni<const BITS: u32, const N: usize>(
    start: i32,
    weights: &[__m256i; N],
    x: *const i8,
) -> __m256i {
    unsafe {
        let mut sums = _mm256_set1_epi32(start);
        for (index, &weight) in weights.iter().enumerate() {
            sums = _mm256_dpbusd_avx_epi32(sums, weight, _mm256_set1_epi32(word(x, index)));
        }
        sums
    }
}

macro_rules! form_256 {
    ($(#[$about:meta])* $name:ident, $signed:literal, $dot:ident) => {
        $(#[$about])*
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        // SAFETY: as the trait says, here and below.
        unsafe impl Form for $name {
            const OUTPUTS: usize = 8;
            const SIGNED: bool = $signed;
            type Bytes = __m256i;
            type Ints = __m256i;
            type Floats = __m256;

            #[inline(always)]
            unsafe fn prefetch(p: *const u8) {
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }
            #[inline(always)]
            unsafe fn load(p: *const u8) -> __m256i {
                unsafe { _mm256_loadu_si256(p.cast()) }
            }
            #[inline(always)]
            unsafe fn low(bytes: __m256i) -> __m256i {
                unsafe { _mm256_and_si256(bytes, _mm256_set1_epi8(15)) }
            }
            #[inline(always)]
            unsafe fn high(bytes: __m256i) -> __m256i {
                unsafe { _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(15)) }
            }
            #[inline(always)]
            unsafe fn six<const SHIFT: u32>(low: __m256i, bits: __m256i) -> __m256i {
                unsafe {
                    let two = _mm256_srl_epi16(bits, _mm_cvtsi32_si128(SHIFT as i32));
                    let two = _mm256_and_si256(two, _mm256_set1_epi8(3));
                    _mm256_or_si256(low, _mm256_slli_epi16::<4>(two))
                }
            }
            #[inline(always)]
            unsafe fn dot<const BITS: u32, const N: usize>(
                start: i32,
                weights: &[__m256i; N],
                x: *const i8,
            ) -> __m256i {
                unsafe { $dot::<BITS, N>(start, weights, x) }
            }
            #[inline(always)]
            unsafe fn floats(ints: __m256i) -> __m256 {
                unsafe { _mm256_cvtepi32_ps(ints) }
            }
            #[inline(always)]
            unsafe fn splat(x: f32) -> __m256 {
                unsafe { _mm256_set1_ps(x) }
            }
            #[inline(always)]
            unsafe fn halves(p: *const u8) -> __m256 {
                unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
            }
            #[inline(always)]
            unsafe fn unsigned(p: *const u8) -> __m256 {
                unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()))) }
            }
            #[inline(always)]
            unsafe fn signed(p: *const u8) -> __m256 {
                unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))) }
            }
            #[inline(always)]
            unsafe fn mul(a: __m256, b: __m256) -> __m256 {
                unsafe { _mm256_mul_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
                unsafe { _mm256_fmadd_ps(a, b, c) }
            }
            #[inline(always)]
            unsafe fn store(p: *mut f32, floats: __m256) {
                unsafe { _mm256_storeu_ps(p, floats) }
            }
        }
    };
}

form_256!(
    /// AVX2 with FMA and F16C.
    Avx2,
    true,
    dot_256
);
form_256!(
    /// AVX2 with products of bytes (AVX-VNNI).
    AvxVnni,
    false,
    dot_avx_vnni
);

/// Sums of products of AVX-512 without VNNI.
#[inline(always)]
unsafe fn dot_512<const BITS: u32, const N: usize>(
    start: i32,
    weights: &[__m512i; N],
    x: *const i8,
) -> __m512i {
    unsafe {
        let ones = _mm512_set1_epi16(1);
        let mut sums = _mm512_set1_epi32(start);
        // As in the form of AVX2.
        let together = match BITS {
            4 => 8,
            6 => 2,
            _ => 1,
        };
        let mut pairs = _mm512_setzero_si512();
        for (index, &weight) in weights.iter().enumerate() {
            let x = _mm512_set1_epi32(word(x, index));
            let products = match BITS {
                8 => {
                    let weight = _mm512_xor_si512(weight, _mm512_set1_epi8(-128));
                    let negative = _mm512_movepi8_mask(weight);
                    let x = _mm512_mask_sub_epi8(x, negative, _mm512_setzero_si512(), x);
                    _mm512_maddubs_epi16(_mm512_abs_epi8(weight), x)
                }
                _ => _mm512_maddubs_epi16(weight, x),
            };
            pairs = match index % together {
                0 => products,
                _ => _mm512_add_epi16(pairs, products),
            };
            if (index + 1) % together == 0 || index + 1 == N {
                sums = _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, ones));
            }
        }
        sums
    }
}

/// Sums of products of AVX512-VNNI.
#[inline(always)]
unsafe fn dot_vnni<const BITS: u32, const N: usize>(
    start: i32,
    weights: &[__m512i; N],
    x: *const i8,
) -> __m512i {
    unsafe {
        let mut sums = _mm512_set1_epi32(start);
        for (index, &weight) in weights.iter().enumerate() {
            sums = _mm512_dpbusd_epi32(sums, weight, _mm512_set1_epi32(word(x, index)));
        }
        sums
    }
}

macro_rules! form_512 {
    ($(#[$about:meta])* $name:ident, $signed:literal, $dot:ident) => {
        $(#[$about])*
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        unsafe impl Form for $name {
            const OUTPUTS: usize = 16;
            const SIGNED: bool = $signed;
            type Bytes = __m512i;
            type Ints = __m512i;
            type Floats = __m512;

            #[inline(always)]
            unsafe fn prefetch(p: *const u8) {
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }
            #[inline(always)]
            unsafe fn load(p: *const u8) -> __m512i {
                unsafe { _mm512_loadu_si512(p.cast()) }
            }
            #[inline(always)]
            unsafe fn low(bytes: __m512i) -> __m512i {
                unsafe { _mm512_and_si512(bytes, _mm512_set1_epi8(15)) }
            }
            #[inline(always)]
            unsafe fn high(bytes: __m512i) -> __m512i {
                unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(15)) }
            }
            #[inline(always)]
            unsafe fn six<const SHIFT: u32>(low: __m512i, bits: __m512i) -> __m512i {
                unsafe {
                    let two = _mm512_srl_epi16(bits, _mm_cvtsi32_si128(SHIFT as i32));
                    let two = _mm512_and_si512(two, _mm512_set1_epi8(3));
                    _mm512_or_si512(low, _mm512_slli_epi16::<4>(two))
                }
            }
            #[inline(always)]
            unsafe fn dot<const BITS: u32, const N: usize>(
                start: i32,
                weights: &[__m512i; N],
                x: *const i8,
            ) -> __m512i {
                unsafe { $dot::<BITS, N>(start, weights, x) }
            }
            #[inline(always)]
            unsafe fn floats(ints: __m512i) -> __m512 {
                unsafe { _mm512_cvtepi32_ps(ints) }
            }
            #[inline(always)]
            unsafe fn splat(x: f32) -> __m512 {
                unsafe { _mm512_set1_ps(x) }
            }
            #[inline(always)]
            unsafe fn halves(p: *const u8) -> __m512 {
                unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
            }
            #[inline(always)]
            unsafe fn unsigned(p: *const u8) -> __m512 {
                unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))) }
            }
            #[inline(always)]
            unsafe fn signed(p: *const u8) -> __m512 {
                unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast()))) }
            }
            #[inline(always)]
            unsafe fn mul(a: __m512, b: __m512) -> __m512 {
                unsafe { _mm512_mul_ps(a, b) }
            }
            #[inline(always)]
            unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
                unsafe { _mm512_fmadd_ps(a, b, c) }
            }
            #[inline(always)]
            unsafe fn store(p: *mut f32, floats: __m512) {
                unsafe { _mm512_storeu_ps(p, floats) }
            }
        }
    };
}

form_512!(
    /// AVX-512 F, VL, BW and DQ.
    Avx512,
    true,
    dot_512
);
form_512!(
    /// AVX-512 with products of bytes (AVX512-VNNI).
    Vnni,
    false,
    dot_vnni
);
