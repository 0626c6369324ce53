//! Vectors of WebAssembly's 128-bit SIMD, with the values of the portable form, bit for bit.

use core::arch::wasm32::*;

use burn::tensor::{bf16, f16};

use super::Simd;

/// WebAssembly's vectors of four. Whether a module has them is decided when it is compiled.
#[derive(Clone, Copy)]
pub(crate) struct Simd128;

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
