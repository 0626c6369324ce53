//! Elementary functions without branches, so that loops over them vectorise.

use super::simd::{Simd, mul_add};

/// Lower bound of `exp`, below which it is zero, near the smallest normal number.
const EXP_LOWEST: f32 = -87.3;
/// Upper bound of `exp`, above which it is constant, a little under the largest number.
const EXP_HIGHEST: f32 = 88.0;

/// Computes `e^x` within two units in the last place on `[-87.3, 88]`; zero below, constant above.
#[inline(always)]
pub(crate) fn exp<S: Simd>(x: f32) -> f32 {
    // Rounds a small number when added to it, and leaves the integer in the low bits of the
    // mantissa.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < EXP_LOWEST { EXP_LOWEST } else { x };
    let clamped = if clamped > EXP_HIGHEST {
        EXP_HIGHEST
    } else {
        clamped
    };
    let rounded = mul_add::<S>(clamped, core::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    // ln 2 in two parts, the first exact when multiplied by a small integer.
    let r = mul_add::<S>(n, -0.693_359_4, clamped);
    let r = mul_add::<S>(n, 2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4;
    p = mul_add::<S>(p, r, 1.398_199_9e-3);
    p = mul_add::<S>(p, r, 8.333_452e-3);
    p = mul_add::<S>(p, r, 4.166_579_6e-2);
    p = mul_add::<S>(p, r, 1.666_666_5e-1);
    p = mul_add::<S>(p, r, 0.5);
    p = mul_add::<S>(p * r, r, r) + 1.0;
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    if x < EXP_LOWEST { 0.0 } else { p * power }
}

/// Error function within 1e-6: an odd rational function, clamped where f32 has reached ±1.
#[inline(always)]
pub(crate) fn erf<S: Simd>(x: f32) -> f32 {
    let x = if x < -4.0 { -4.0 } else { x };
    let x = if x > 4.0 { 4.0 } else { x };
    let s = x * x;
    let mut p = -2.726_142_3e-10;
    p = mul_add::<S>(p, s, 2.770_681_4e-8);
    p = mul_add::<S>(p, s, -2.101_024e-6);
    p = mul_add::<S>(p, s, -5.692_506_5e-5);
    p = mul_add::<S>(p, s, -7.349_906_3e-4);
    p = mul_add::<S>(p, s, -2.954_6e-3);
    p = mul_add::<S>(p, s, -1.609_603_3e-2);
    let mut q = -1.456_607_2e-5;
    q = mul_add::<S>(q, s, -2.133_740_6e-4);
    q = mul_add::<S>(q, s, -1.682_827e-3);
    q = mul_add::<S>(q, s, -7.373_329e-3);
    q = mul_add::<S>(q, s, -1.426_473_9e-2);
    x * p / q
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<S>(-x))
}

/// Number of independent partial sums, so that a sum vectorises.
pub(crate) const PARTS: usize = 16;

/// Sum of `f(x)`.
#[inline(always)]
pub(crate) fn sum(xs: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut parts = [0.0; PARTS];
    let (chunks, rest) = xs.as_chunks::<PARTS>();
    for chunk in chunks {
        for i in 0..PARTS {
            parts[i] += f(chunk[i]);
        }
    }
    let mut tail = [0.0; PARTS];
    for (tail, &x) in tail.iter_mut().zip(rest) {
        *tail = f(x);
    }
    total(added(parts, tail))
}

/// Adds parts of the values after the last whole vector. With them in an array of their own those
/// of the vectors stay in registers.
#[inline(always)]
fn added(mut parts: [f32; PARTS], tail: [f32; PARTS]) -> [f32; PARTS] {
    for i in 0..PARTS {
        parts[i] += tail[i];
    }
    parts
}

/// Replaces each value by its `f` and sums these.
#[inline(always)]
pub(crate) fn map_sum(xs: &mut [f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut parts = [0.0; PARTS];
    let (chunks, rest) = xs.as_chunks_mut::<PARTS>();
    for chunk in chunks {
        for i in 0..PARTS {
            chunk[i] = f(chunk[i]);
            parts[i] += chunk[i];
        }
    }
    let mut tail = [0.0; PARTS];
    for (tail, x) in tail.iter_mut().zip(rest) {
        *x = f(*x);
        *tail = *x;
    }
    total(added(parts, tail))
}

/// Sum of the parts, added in halves.
#[inline(always)]
pub(crate) fn total(mut parts: [f32; PARTS]) -> f32 {
    let mut half = PARTS / 2;
    while half > 0 {
        for i in 0..half {
            parts[i] += parts[i + half];
        }
        half /= 2;
    }
    parts[0]
}

/// Dot product of two rows.
#[inline(always)]
pub(crate) fn dot<S: Simd>(a: &[f32], b: &[f32]) -> f32 {
    let mut parts = [0.0; PARTS];
    let (a, a_rest) = a.as_chunks::<PARTS>();
    let (b, b_rest) = b.as_chunks::<PARTS>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..PARTS {
            parts[i] = mul_add::<S>(a[i], b[i], parts[i]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    total(parts) + rest
}

/// Sums of `f(x, y)` and `g(x, y)`.
#[inline(always)]
pub(crate) fn sum_pairs(xs: &[f32], ys: &[f32], f: impl Fn(f32, f32) -> (f32, f32)) -> (f32, f32) {
    let mut first = [0.0; PARTS];
    let mut second = [0.0; PARTS];
    let (x_chunks, x_rest) = xs.as_chunks::<PARTS>();
    let (y_chunks, y_rest) = ys.as_chunks::<PARTS>();
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for i in 0..PARTS {
            let (a, b) = f(x[i], y[i]);
            first[i] += a;
            second[i] += b;
        }
    }
    let (mut first_tail, mut second_tail) = ([0.0; PARTS], [0.0; PARTS]);
    let tails = first_tail.iter_mut().zip(&mut second_tail);
    for ((a, b), (&x, &y)) in tails.zip(x_rest.iter().zip(y_rest)) {
        (*a, *b) = f(x, y);
    }
    let sums = [added(first, first_tail), added(second, second_tail)];
    sums.map(total).into()
}

/// Largest value, or `lowest` if none is greater. NaN is ignored.
#[inline(always)]
pub(crate) fn max(xs: &[f32], lowest: f32) -> f32 {
    let mut parts = [lowest; PARTS];
    let (chunks, rest) = xs.as_chunks::<PARTS>();
    for chunk in chunks {
        for i in 0..PARTS {
            parts[i] = if chunk[i] > parts[i] {
                chunk[i]
            } else {
                parts[i]
            };
        }
    }
    let mut tail = [lowest; PARTS];
    for (tail, &x) in tail.iter_mut().zip(rest) {
        *tail = x;
    }
    for i in 0..PARTS {
        parts[i] = if tail[i] > parts[i] {
            tail[i]
        } else {
            parts[i]
        };
    }
    let mut half = PARTS / 2;
    while half > 0 {
        for i in 0..half {
            parts[i] = if parts[i + half] > parts[i] {
                parts[i + half]
            } else {
                parts[i]
            };
        }
        half /= 2;
    }
    parts[0]
}
