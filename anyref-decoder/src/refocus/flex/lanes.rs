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

/// `y ← y + Σ factor_i · row_i`, four rows at a time, so that `y` is read and written a fourth as often.
#[inline]
pub(super) fn add_scaled_rows(ys: &mut [f32], factors: &[f32], rows: &[f32]) {
    let width = ys.len().max(1);
    let (fours, rest) = factors.as_chunks::<4>();
    let mut four_rows = rows.chunks_exact(4 * width);
    for (factors, rows) in fours.iter().zip(&mut four_rows) {
        let (a, rows) = rows.split_at(width);
        let (b, rows) = rows.split_at(width);
        let (c, d) = rows.split_at(width);
        for ((((y, a), b), c), d) in ys.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *y += factors[0] * a + factors[1] * b + (factors[2] * c + factors[3] * d);
        }
    }
    for (factor, row) in rest.iter().zip(four_rows.remainder().chunks_exact(width)) {
        add_scaled(ys, *factor, row);
    }
}

/// The largest value, `-∞` when there is none.
#[inline]
pub(super) fn largest(xs: &[f32]) -> f32 {
    xs.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_added_in_fours_and_singly() {
        for (count, width) in [(0, 3), (1, 5), (4, 1), (7, 33), (12, 2)] {
            let value = |i: usize| ((i * 37) % 19) as f32 - 9.0;
            let rows = (0..count * width).map(value).collect::<Vec<_>>();
            let factors = (0..count).map(|i| value(i + 5)).collect::<Vec<_>>();
            let mut found = vec![1.0; width];
            add_scaled_rows(&mut found, &factors, &rows);
            // Whole numbers add up in any order.
            for (column, found) in found.into_iter().enumerate() {
                let terms = factors.iter().enumerate();
                let sum = terms.map(|(row, factor)| factor * rows[row * width + column]);
                assert_eq!(found, 1.0 + sum.sum::<f32>());
            }
        }
    }
}
