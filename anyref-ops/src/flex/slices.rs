//! Loops over slices of f32 on the machine's widest instructions, for processor forms that other
//! crates write.

use super::math;
use super::simd::{Kernel, Simd, dispatch, mul_add};

/// Rows that are read together.
const TOGETHER: usize = 4;

/// `out[i] = scale · Σ x[k] · rows[i][k]`
///
/// # Panics
/// When `rows` does not hold `out.len()` rows of `x.len()` values.
pub fn dot_rows(x: &[f32], rows: &[f32], scale: f32, out: &mut [f32]) {
    assert_eq!(x.len() * out.len(), rows.len());
    struct Dots<'a>(&'a [f32], &'a [f32], f32, &'a mut [f32]);
    impl Kernel for Dots<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self) {
            let Self(x, rows, scale, out) = self;
            for (out, row) in out.iter_mut().zip(rows.chunks_exact(x.len().max(1))) {
                *out = scale * math::dot::<S>(x, row);
            }
        }
    }
    dispatch(Dots(x, rows, scale, out));
}

/// `Σ e^x`
pub fn sum_exp(xs: &[f32]) -> f32 {
    struct Sum<'a>(&'a [f32]);
    impl Kernel for Sum<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self) -> f32 {
            math::sum(self.0, math::exp::<S>)
        }
    }
    dispatch(Sum(xs))
}

/// `ys[i] ← ys[i] + e^(xs[i] - shifts[i])`
///
/// # Panics
/// When the lengths differ.
pub fn add_exp(ys: &mut [f32], xs: &[f32], shifts: &[f32]) {
    assert!(ys.len() == xs.len() && ys.len() == shifts.len());
    struct Add<'a>(&'a mut [f32], &'a [f32], &'a [f32]);
    impl Kernel for Add<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self) {
            for ((y, x), shift) in self.0.iter_mut().zip(self.1).zip(self.2) {
                *y += math::exp::<S>(x - shift);
            }
        }
    }
    dispatch(Add(ys, xs, shifts));
}

/// Adds `Σ factors[i] · rows[i]` to `y`, four rows at a time, so that `y` is read and written a
/// quarter as often.
///
/// # Panics
/// When `rows` does not hold `factors.len()` rows of `y.len()` values.
pub fn add_scaled_rows(y: &mut [f32], factors: &[f32], rows: &[f32]) {
    assert_eq!(y.len() * factors.len(), rows.len());
    struct Add<'a>(&'a mut [f32], &'a [f32], &'a [f32]);
    impl Kernel for Add<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self) {
            let Self(y, factors, rows) = self;
            let width = y.len();
            let (fours, rest) = factors.as_chunks::<TOGETHER>();
            let (whole, tail) = rows.split_at(fours.len() * TOGETHER * width);
            for (index, factors) in fours.iter().enumerate() {
                let rows = &whole[index * TOGETHER * width..][..TOGETHER * width];
                let (a, rows) = rows.split_at(width);
                let (b, rows) = rows.split_at(width);
                let (c, d) = rows.split_at(width);
                for ((((y, a), b), c), d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    let first = mul_add::<S>(factors[0], *a, *y);
                    let second = mul_add::<S>(factors[1], *b, first);
                    *y = mul_add::<S>(factors[3], *d, mul_add::<S>(factors[2], *c, second));
                }
            }
            for (index, factor) in rest.iter().enumerate() {
                for (y, x) in y.iter_mut().zip(&tail[index * width..][..width]) {
                    *y = mul_add::<S>(*factor, *x, *y);
                }
            }
        }
    }
    dispatch(Add(y, factors, rows));
}

/// Largest value, or `-∞` if there is none.
pub fn largest(xs: &[f32]) -> f32 {
    struct Largest<'a>(&'a [f32]);
    impl Kernel for Largest<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self) -> f32 {
            math::max(self.0, f32::NEG_INFINITY)
        }
    }
    dispatch(Largest(xs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f32 {
        ((i * 37) % 19) as f32 - 9.0
    }

    #[test]
    fn rows_are_added_in_fours_and_singly() {
        for (count, width) in [(0, 3), (1, 5), (4, 1), (7, 33), (12, 2)] {
            let rows = (0..count * width).map(value).collect::<Vec<_>>();
            let factors = (0..count).map(|i| value(i + 5)).collect::<Vec<_>>();
            let mut found = vec![1.0; width];
            add_scaled_rows(&mut found, &factors, &rows);
            // Integers sum exactly in any order.
            for (column, found) in found.into_iter().enumerate() {
                let terms = factors.iter().enumerate();
                let sum = terms.map(|(row, factor)| factor * rows[row * width + column]);
                assert_eq!(found, 1.0 + sum.sum::<f32>());
            }
        }
    }

    #[test]
    fn every_row_meets_the_vector() {
        for (count, depth) in [(1, 1), (3, 7), (4, 16), (9, 128), (6, 35)] {
            let x = (0..depth).map(|i| value(i + 3)).collect::<Vec<_>>();
            let rows = (0..count * depth).map(value).collect::<Vec<_>>();
            let mut found = vec![f32::NAN; count];
            dot_rows(&x, &rows, 0.5, &mut found);
            for (found, row) in found.into_iter().zip(rows.chunks_exact(depth)) {
                let dot: f32 = x.iter().zip(row).map(|(x, y)| x * y).sum();
                assert_eq!(found, 0.5 * dot);
            }
        }
    }

    #[test]
    fn exponentials_are_summed_from_far_below_zero() {
        let xs: Vec<f32> = (0..37).map(|i| -(i as f32) * 3.0).collect();
        let expected: f64 = xs.iter().map(|&x| f64::from(x).exp()).sum();
        assert!((f64::from(sum_exp(&xs)) - expected).abs() < 1e-6);
        let mut found = vec![1.0; xs.len()];
        add_exp(&mut found, &xs, &vec![-2.5; xs.len()]);
        for (found, x) in found.into_iter().zip(&xs) {
            let expected = 1.0 + (x + 2.5).exp();
            assert!((found - expected).abs() <= 4e-7 * expected);
        }
        assert_eq!(largest(&xs), 0.0);
        assert_eq!(largest(&[]), f32::NEG_INFINITY);
    }
}
