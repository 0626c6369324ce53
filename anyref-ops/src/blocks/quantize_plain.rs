//! Plain form of the rounding, one group of values after another, that the fast one is compared
//! with.

use burn::tensor::f16;

use super::super::block_type::BlockType;
use super::super::k_scales::pack_k_scales;

/// Largest scale and minimum that six bits hold.
const LARGEST_K_SCALE: f32 = 63.0;
/// Largest value of four bits.
const LARGEST_NIBBLE: f32 = 15.0;

/// Bytes of the blocks of some values.
pub(super) fn quantize(values: &[f32], block_type: BlockType) -> Vec<u8> {
    let block: fn(&[f32], &mut Vec<u8>) = match block_type {
        BlockType::Q8_0 => q8_0,
        BlockType::Q4_0 => q4_0,
        _ => q4_k,
    };
    let mut bytes = Vec::new();
    let blocks = values.chunks_exact(block_type.values());
    blocks.for_each(|values| block(values, &mut bytes));
    bytes
}

/// Reciprocal; 0 for 0.
fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

fn push_half(bytes: &mut Vec<u8>, x: f32) {
    bytes.extend(f16::from_f32(x).to_le_bytes());
}

fn q8_0(values: &[f32], bytes: &mut Vec<u8>) {
    let largest = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let d = largest / 127.0;
    let steps = inverse(d);
    push_half(bytes, d);
    bytes.extend(values.iter().map(|x| (x * steps).round() as i8 as u8));
}

fn q4_0(values: &[f32], bytes: &mut Vec<u8>) {
    let mut largest = 0.0f32;
    for &x in values {
        if x.abs() > largest.abs() {
            largest = x;
        }
    }
    let d = largest / -8.0;
    let steps = inverse(d);
    push_half(bytes, d);
    let q = |x: f32| ((x * steps + 8.5) as u8).min(15);
    let (low, high) = values.split_at(16);
    bytes.extend(low.iter().zip(high).map(|(&a, &b)| q(a) | q(b) << 4));
}

/// Factor and minimum, both non-negative, of `values ≈ factor · q - minimum`.
#[derive(Clone, Copy)]
struct Line {
    factor: f32,
    minimum: f32,
}

impl Line {
    fn nibble(self, x: f32) -> f32 {
        let q = (x + self.minimum) * inverse(self.factor);
        q.round_ties_even().clamp(0.0, LARGEST_NIBBLE)
    }

    fn squared_error(self, values: &[f32]) -> f32 {
        let error = |&x: &f32| self.factor * self.nibble(x) - self.minimum - x;
        values.iter().map(|x| error(x) * error(x)).sum()
    }

    /// Least-squares line for given nibbles.
    fn fitted(values: &[f32], nibble: impl Fn(f32) -> f32) -> Option<Self> {
        let count = values.len() as f32;
        let (mut q_sum, mut qq_sum, mut x_sum, mut qx_sum) = (0.0, 0.0, 0.0, 0.0);
        for &x in values {
            let q = nibble(x);
            q_sum += q;
            qq_sum += q * q;
            x_sum += x;
            qx_sum += q * x;
        }
        let determinant = count * qq_sum - q_sum * q_sum;
        if determinant <= 0.0 {
            return None;
        }
        let factor = (count * qx_sum - q_sum * x_sum) / determinant;
        let minimum = (q_sum * qx_sum - qq_sum * x_sum) / determinant;
        let line = match minimum < 0.0 {
            // A minimum cannot raise values, so the line goes through 0.
            true => Self {
                factor: qx_sum / qq_sum,
                minimum: 0.0,
            },
            false => Self { factor, minimum },
        };
        (line.factor > 0.0).then_some(line)
    }

    /// Best line among several step counts.
    fn best(values: &[f32]) -> Self {
        let lowest = values.iter().copied().fold(0.0f32, f32::min);
        let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let range = highest - lowest;
        let mut best = Self {
            factor: range.max(0.0) / LARGEST_NIBBLE,
            minimum: -lowest,
        };
        if range <= 0.0 {
            return best;
        }
        let mut error = best.squared_error(values);
        for step in 0..=20 {
            let steps = (LARGEST_NIBBLE - 1.0 + 0.1 * step as f32) / range;
            let first = Self {
                factor: 1.0 / steps,
                minimum: -lowest,
            };
            let Some(line) = Self::fitted(values, |x| first.nibble(x)) else {
                continue;
            };
            let found = line.squared_error(values);
            if found < error {
                (best, error) = (line, found);
            }
        }
        best
    }
}

fn q4_k(values: &[f32], bytes: &mut Vec<u8>) {
    let mut lines = [Line {
        factor: 0.0,
        minimum: 0.0,
    }; 8];
    for (line, values) in lines.iter_mut().zip(values.chunks_exact(32)) {
        *line = Line::best(values);
    }
    let largest = |of: fn(&Line) -> f32| lines.iter().map(of).fold(0.0f32, f32::max);
    let step = |largest: f32| f16::from_f32(largest / LARGEST_K_SCALE);
    let (d, dmin) = (step(largest(|l| l.factor)), step(largest(|l| l.minimum)));
    let scale = |x: f32, d: f16| {
        (x * inverse(d.to_f32()))
            .round_ties_even()
            .min(LARGEST_K_SCALE)
    };
    let scales = [
        lines.map(|line| scale(line.factor, d) as u8),
        lines.map(|line| scale(line.minimum, dmin) as u8),
    ];
    bytes.extend(d.to_le_bytes());
    bytes.extend(dmin.to_le_bytes());
    bytes.extend(pack_k_scales(&scales));
    let [factors, minima] = scales;
    let nibbles = |index: usize| {
        let line = Line {
            factor: d.to_f32() * f32::from(factors[index]),
            minimum: dmin.to_f32() * f32::from(minima[index]),
        };
        values[32 * index..][..32]
            .iter()
            .map(move |&x| line.nibble(x) as u8)
    };
    for pair in 0..4 {
        let both = nibbles(2 * pair).zip(nibbles(2 * pair + 1));
        bytes.extend(both.map(|(low, high)| low | high << 4));
    }
}
