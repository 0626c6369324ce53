//! Loops over floats in a form that the compiler vectorises.

/// Partial sums kept apart.
const PARTS: usize = 16;

/// `Σ x·y`
#[inline]
pub(super) fn dot(xs: &[f32], ys: &[f32]) -> f32 {
    let mut parts = [0.0; PARTS];
    let (x_chunks, x_rest) = xs.as_chunks::<PARTS>();
    let (y_chunks, y_rest) = ys.as_chunks::<PARTS>();
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for i in 0..PARTS {
            parts[i] += x[i] * y[i];
        }
    }
    for (part, (x, y)) in parts.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *part += x * y;
    }
    let mut half = PARTS / 2;
    while half > 0 {
        for i in 0..half {
            parts[i] += parts[i + half];
        }
        half /= 2;
    }
    parts[0]
}

/// `y ← y + factor · x`
#[inline]
pub(super) fn add_scaled(ys: &mut [f32], factor: f32, xs: &[f32]) {
    for (y, x) in ys.iter_mut().zip(xs) {
        *y += factor * x;
    }
}

/// The largest value, `-∞` when there is none.
#[inline]
pub(super) fn largest(xs: &[f32]) -> f32 {
    xs.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}
