//! Vectors of each instruction set.
//!
//! A [`Kernel`] is written once, generically over [`Simd`]; [`dispatch`] runs the version compiled
//! for the [instruction set of the process](InstructionSet::current), the widest of the machine
//! unless `ANYREF_SIMD` requests a narrower one. A default build therefore needs no `-C
//! target-cpu=native`.

#[cfg_attr(target_arch = "wasm32", allow(unused_imports))]
use super::instruction_set::InstructionSet;
use burn::tensor::{bf16, f16};

/// Computation compiled once for each instruction set. `run` and everything it calls must be
/// `#[inline(always)]`, or they are compiled for the baseline.
pub(crate) trait Kernel {
    /// Result of the kernel.
    type Output;

    /// Runs the kernel.
    fn run<S: Simd>(self) -> Self::Output;
}

/// Instruction set with vectors of `f32`.
///
/// # Safety
/// The methods may only be called inside a kernel that [`dispatch`] runs, on a machine that has the
/// instructions.
pub(crate) unsafe trait Simd: Copy + 'static {
    /// Values of a vector.
    const LANES: usize;
    /// Rows of the matrix product's register block, chosen so that two vectors a row fit the
    /// registers.
    const ROWS: usize;
    /// Compiles `f32::mul_add` to one instruction.
    const FMA: bool;
    /// Vector of [`LANES`](Self::LANES) values.
    type Vector: Copy;

    /// All lanes `x`.
    unsafe fn splat(x: f32) -> Self::Vector;
    /// Unaligned load.
    unsafe fn load(p: *const f32) -> Self::Vector;
    /// Unaligned load, widened.
    unsafe fn load_f16(p: *const f16) -> Self::Vector;
    /// Unaligned load, widened.
    unsafe fn load_bf16(p: *const bf16) -> Self::Vector;
    /// Unaligned load of bytes, each 128 more than its value.
    unsafe fn load_steps(p: *const u8) -> Self::Vector;
    /// Unaligned store.
    unsafe fn store(p: *mut f32, v: Self::Vector);
    /// `a · b + c`.
    unsafe fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a + b`.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
}

/// `a · b + c`, in one instruction where there is one (`f32::mul_add` is a library call elsewhere).
#[inline(always)]
pub(crate) fn mul_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Runs a kernel on the [instruction set of the process](InstructionSet::current).
#[inline(always)]
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    // A module has the vectors or not, and another form would only make it larger. Its tests have
    // both.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(test)))]
    return kernel.run::<simd128::Simd128>();
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128", not(test))))]
    match InstructionSet::current() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features were detected.
        InstructionSet::Avx512 | InstructionSet::Avx512Vnni | InstructionSet::Avx512Bf16 => unsafe {
            x86::run_avx512(kernel)
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features were detected.
        InstructionSet::Avx2 | InstructionSet::AvxVnni => unsafe { x86::run_avx2(kernel) },
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        InstructionSet::Simd128 => kernel.run::<simd128::Simd128>(),
        _ => kernel.run::<Portable>(),
    }
}

/// Vectors of the baseline: SSE2 on x86-64, NEON on AArch64, as the compiler sees fit.
#[derive(Clone, Copy)]
#[cfg_attr(
    target_arch = "wasm32",
    allow(dead_code, reason = "only its tests use it")
)]
pub(crate) struct Portable;

// SAFETY: no instruction beyond the baseline is used.
unsafe impl Simd for Portable {
    const LANES: usize = 4;
    const ROWS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };
    const FMA: bool = cfg!(target_arch = "aarch64");
    type Vector = [f32; 4];

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; 4] {
        // SAFETY: the caller has four values at `p`.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const f16) -> [f32; 4] {
        // SAFETY: as above; the type is a transparent u16.
        unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(widen_f16)
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const bf16) -> [f32; 4] {
        // SAFETY: as above; the type is a transparent u16.
        unsafe { p.cast::<[u16; 4]>().read_unaligned() }.map(|x| f32::from_bits((x as u32) << 16))
    }
    #[inline(always)]
    unsafe fn load_steps(p: *const u8) -> [f32; 4] {
        // SAFETY: the caller has four bytes at `p`.
        unsafe { p.cast::<[u8; 4]>().read_unaligned() }.map(|x| f32::from((x ^ 0x80) as i8))
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; 4]) {
        // SAFETY: the caller has room for four values at `p`.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|i| mul_add::<Self>(a[i], b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|i| a[i] + b[i])
    }
}

/// Converts the bits of an f16 to f32, without branches.
#[inline(always)]
pub(crate) fn widen_f16(bits: u16) -> f32 {
    // The product corrects the exponent's bias and handles subnormal numbers.
    const REBIAS: f32 = f32::from_bits((254 - 15) << 23);
    let size = f32::from_bits((bits as u32 & 0x7fff) << 13) * REBIAS;
    let special = if size >= 65536.0 { 0xff << 23 } else { 0 };
    f32::from_bits(size.to_bits() | special | (bits as u32 & 0x8000) << 16)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Kernel, Simd, bf16, f16};
    use core::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
    pub(super) fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx512>()
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Avx2>()
    }

    // SAFETY of these functions: as `Simd` requires.

    #[inline(always)]
    unsafe fn load_f16_512(p: *const __m256i) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p)) }
    }

    #[inline(always)]
    unsafe fn load_bf16_512(p: *const __m256i) -> __m512 {
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_f16_256(p: *const __m128i) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p)) }
    }

    #[inline(always)]
    unsafe fn load_bf16_256(p: *const __m128i) -> __m256 {
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }

    #[inline(always)]
    unsafe fn load_steps_512(p: *const __m128i) -> __m512 {
        unsafe {
            let steps = _mm_xor_si128(_mm_loadu_si128(p), _mm_set1_epi8(-128));
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(steps))
        }
    }

    #[inline(always)]
    unsafe fn load_steps_256(p: *const __m128i) -> __m256 {
        unsafe {
            let steps = _mm_xor_si128(_mm_loadl_epi64(p), _mm_set1_epi8(-128));
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(steps))
        }
    }

    macro_rules! instruction_set {
        ($name:ident, $vector:ty, $lanes:literal, $rows:literal, $splat:ident, $load:ident, $load_f16:ident, $load_bf16:ident, $load_steps:ident, $store:ident, $fma:ident, $add:ident) => {
            #[derive(Clone, Copy)]
            pub(super) struct $name;

            // SAFETY: only `dispatch` names the type, after detecting the features.
            unsafe impl Simd for $name {
                const LANES: usize = $lanes;
                const ROWS: usize = $rows;
                const FMA: bool = true;
                type Vector = $vector;

                #[inline(always)]
                unsafe fn splat(x: f32) -> $vector {
                    // SAFETY: as the trait says, here and below.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(p: *const f32) -> $vector {
                    unsafe { $load(p) }
                }
                #[inline(always)]
                unsafe fn load_f16(p: *const f16) -> $vector {
                    unsafe { $load_f16(p.cast()) }
                }
                #[inline(always)]
                unsafe fn load_bf16(p: *const bf16) -> $vector {
                    unsafe { $load_bf16(p.cast()) }
                }
                #[inline(always)]
                unsafe fn load_steps(p: *const u8) -> $vector {
                    unsafe { $load_steps(p.cast()) }
                }
                #[inline(always)]
                unsafe fn store(p: *mut f32, v: $vector) {
                    unsafe { $store(p, v) }
                }
                #[inline(always)]
                unsafe fn mul_add(a: $vector, b: $vector, c: $vector) -> $vector {
                    unsafe { $fma(a, b, c) }
                }
                #[inline(always)]
                unsafe fn add(a: $vector, b: $vector) -> $vector {
                    unsafe { $add(a, b) }
                }
            }
        };
    }

    instruction_set!(
        Avx512,
        __m512,
        16,
        12,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        load_f16_512,
        load_bf16_512,
        load_steps_512,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps
    );
    instruction_set!(
        Avx2,
        __m256,
        8,
        6,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        load_f16_256,
        load_bf16_256,
        load_steps_256,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps
    );
}

/// Vectors of WebAssembly's 128-bit SIMD, with the values of the portable form, bit for bit.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128 {
    use super::{Simd, bf16, f16};
    use core::arch::wasm32::*;

    /// WebAssembly's vectors of four. Whether a module has them is decided when it is compiled.
    #[derive(Clone, Copy)]
    pub(super) struct Simd128;

    // SAFETY: the module is compiled with the instructions.
    unsafe impl Simd for Simd128 {
        const LANES: usize = 4;
        const ROWS: usize = 4;
        const FMA: bool = false;
        type Vector = v128;

        #[inline(always)]
        unsafe fn splat(x: f32) -> v128 {
            f32x4_splat(x)
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> v128 {
            // SAFETY: the caller has four values at `p`.
            unsafe { v128_load(p.cast()) }
        }
        #[inline(always)]
        unsafe fn load_f16(p: *const f16) -> v128 {
            // SAFETY: as above; the type is a transparent u16.
            widen_f16(unsafe { i32x4_load_extend_i16x4(p.cast()) })
        }
        #[inline(always)]
        unsafe fn load_bf16(p: *const bf16) -> v128 {
            // SAFETY: as above; the type is a transparent u16.
            u32x4_shl(unsafe { u32x4_load_extend_u16x4(p.cast()) }, 16)
        }
        #[inline(always)]
        unsafe fn load_steps(p: *const u8) -> v128 {
            // SAFETY: the caller has four bytes at `p`.
            let steps = v128_xor(unsafe { v128_load32_zero(p.cast()) }, u8x16_splat(0x80));
            f32x4_convert_i32x4(i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(steps)))
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: v128) {
            // SAFETY: the caller has room for four values at `p`.
            unsafe { v128_store(p.cast(), v) }
        }
        #[inline(always)]
        unsafe fn mul_add(a: v128, b: v128, c: v128) -> v128 {
            f32x4_add(f32x4_mul(a, b), c)
        }
        #[inline(always)]
        unsafe fn add(a: v128, b: v128) -> v128 {
            f32x4_add(a, b)
        }
    }

    /// Converts the bits of f16 values, each with its sign extended to 32 bits, as
    /// [`widen_f16`](super::widen_f16) does.
    #[inline(always)]
    fn widen_f16(bits: v128) -> v128 {
        // Sign, and exponent with mantissa in their places.
        let placed = v128_and(i32x4_shl(bits, 13), u32x4_splat(0x8fff_e000));
        // Corrects the exponent's bias and handles subnormal numbers.
        let value = f32x4_mul(placed, f32x4_splat(f32::from_bits((254 - 15) << 23)));
        let special = f32x4_ge(f32x4_abs(value), f32x4_splat(65536.0));
        v128_or(value, v128_and(special, u32x4_splat(0xff << 23)))
    }
}
