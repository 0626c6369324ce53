//! Factors and minima of Q4_K: the best of several candidates for each 32 values, searched for 16
//! groups of 32 values at once.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over lanes become vectors, of which each expression names several"
)]

/// Largest value of four bits.
const LARGEST_NIBBLE: f32 = 15.0;
/// Values that share a factor and a minimum.
pub(super) const GROUP: usize = 32;
/// Groups of which the lines are searched at once: those of two blocks.
pub(super) const LANES: usize = 16;
/// Step counts that are tried beside the plain one.
const CANDIDATES: u8 = 21;

/// A number of each group.
type Lanes = [f32; LANES];

/// Factor and minimum, both non-negative, of `values ≈ factor · q - minimum`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) factor: f32,
    pub(super) minimum: f32,
}

impl Line {
    /// Steps of some values.
    #[inline(always)]
    pub(super) fn nibbles(self, values: &[f32], out: &mut [u8; GROUP]) {
        let steps = inverse(self.factor);
        for (out, &x) in out.iter_mut().zip(values) {
            *out = nibble(x, self.minimum, steps) as u8;
        }
    }
}

/// Reciprocal; 0 for 0.
#[inline(always)]
pub(super) fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

#[inline(always)]
fn nibble(x: f32, minimum: f32, steps: f32) -> f32 {
    let q = (x + minimum) * steps;
    q.round_ties_even().clamp(0.0, LARGEST_NIBBLE)
}

/// Lines of all groups.
#[derive(Clone, Copy)]
struct Lines {
    factor: Lanes,
    minimum: Lanes,
}

impl Lines {
    #[inline(always)]
    fn steps(&self) -> Lanes {
        let mut steps = self.factor;
        for steps in &mut steps {
            *steps = inverse(*steps);
        }
        steps
    }

    #[inline(always)]
    fn squared_errors(&self, values: &[Lanes; GROUP]) -> Lanes {
        let steps = self.steps();
        let mut errors = [0.0; LANES];
        for x in values {
            for lane in 0..LANES {
                let q = nibble(x[lane], self.minimum[lane], steps[lane]);
                let error = self.factor[lane] * q - self.minimum[lane] - x[lane];
                errors[lane] += error * error;
            }
        }
        errors
    }

    /// Least-squares lines for the steps by these lines, of values with these sums; a factor that
    /// is not positive where there is none.
    #[inline(always)]
    fn fitted(&self, values: &[Lanes; GROUP], x_sum: &Lanes) -> Self {
        const COUNT: f32 = GROUP as f32;
        let steps = self.steps();
        let mut q_sum = [0.0; LANES];
        let mut qq_sum = [0.0; LANES];
        let mut qx_sum = [0.0; LANES];
        for x in values {
            for lane in 0..LANES {
                let q = nibble(x[lane], self.minimum[lane], steps[lane]);
                q_sum[lane] += q;
                qq_sum[lane] += q * q;
                qx_sum[lane] += q * x[lane];
            }
        }
        let mut fitted = *self;
        for lane in 0..LANES {
            let (q, qq, x, qx) = (q_sum[lane], qq_sum[lane], x_sum[lane], qx_sum[lane]);
            let determinant = COUNT * qq - q * q;
            let factor = (COUNT * qx - q * x) / determinant;
            let minimum = (q * qx - qq * x) / determinant;
            // A minimum cannot raise values, so the line then goes through 0.
            let (factor, minimum) = match minimum < 0.0 {
                true => (qx / qq, 0.0),
                false => (factor, minimum),
            };
            fitted.factor[lane] = if determinant <= 0.0 { 0.0 } else { factor };
            fitted.minimum[lane] = minimum;
        }
        fitted
    }
}

/// Best line of each group among several step counts.
///
/// # Shapes
/// - values: `[GROUP, LANES]`, a value of each group
#[inline(always)]
pub(super) fn best_lines(values: &[Lanes; GROUP]) -> [Line; LANES] {
    let mut lowest = [0.0f32; LANES];
    let mut highest = [f32::NEG_INFINITY; LANES];
    let mut x_sum = [0.0; LANES];
    for x in values {
        for lane in 0..LANES {
            lowest[lane] = lowest[lane].min(x[lane]);
            highest[lane] = highest[lane].max(x[lane]);
            x_sum[lane] += x[lane];
        }
    }
    let mut range = [0.0; LANES];
    let mut best = Lines {
        factor: [0.0; LANES],
        minimum: [0.0; LANES],
    };
    for lane in 0..LANES {
        range[lane] = highest[lane] - lowest[lane];
        best.factor[lane] = range[lane].max(0.0) / LARGEST_NIBBLE;
        best.minimum[lane] = -lowest[lane];
    }
    let mut errors = best.squared_errors(values);
    let first = best;
    for candidate in 0..CANDIDATES {
        let mut line = first;
        for (factor, range) in line.factor.iter_mut().zip(range) {
            let steps = (LARGEST_NIBBLE - 1.0 + 0.1 * f32::from(candidate)) / range;
            *factor = 1.0 / steps;
        }
        let line = line.fitted(values, &x_sum);
        let found = line.squared_errors(values);
        for lane in 0..LANES {
            let spread = range[lane] > 0.0 || range[lane].is_nan();
            let better = spread && line.factor[lane] > 0.0 && found[lane] < errors[lane];
            best.factor[lane] = if better {
                line.factor[lane]
            } else {
                best.factor[lane]
            };
            best.minimum[lane] = if better {
                line.minimum[lane]
            } else {
                best.minimum[lane]
            };
            errors[lane] = if better { found[lane] } else { errors[lane] };
        }
    }
    core::array::from_fn(|lane| Line {
        factor: best.factor[lane],
        minimum: best.minimum[lane],
    })
}
