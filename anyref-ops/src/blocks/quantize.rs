//! Floats to blocks.

use burn::tensor::f16;

use super::block_type::BlockType;
use super::error::BlockError;
use super::k_scales::pack_k_scales;

/// Largest scale and minimum that six bits hold.
const LARGEST_K_SCALE: f32 = 63.0;
/// Largest value of four bits.
const LARGEST_NIBBLE: f32 = 15.0;

/// Rounds values to blocks. `Q8_0` and `Q4_0` are rounded as in ggml; the factors of `Q4_K` are the
/// best of several candidates by least squared error.
///
/// # Shapes
/// - values: as many as whole blocks have
/// - output: bytes of the blocks
///
/// # Errors
/// [`BlockError::Row`] when the values are no whole blocks, [`BlockError::NotWritten`] for formats
/// that are read only.
pub fn quantize(values: &[f32], block_type: BlockType) -> Result<Vec<u8>, BlockError> {
    let columns = values.len();
    let length = block_type.row_bytes(columns).ok_or(BlockError::Row {
        columns,
        block_type,
    })?;
    let block: fn(&[f32], &mut Vec<u8>) = match block_type {
        BlockType::Q8_0 => q8_0,
        BlockType::Q4_0 => q4_0,
        BlockType::Q4K => q4_k,
        other => return Err(BlockError::NotWritten(other)),
    };
    let mut bytes = Vec::with_capacity(length);
    let blocks = values.chunks_exact(block_type.values());
    blocks.for_each(|values| block(values, &mut bytes));
    Ok(bytes)
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

#[cfg(test)]
mod tests {
    use super::super::dequantize;
    use super::*;

    fn normal(count: usize) -> Vec<f32> {
        let mut state = 7u64;
        let mut uniform = move || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        let value = |_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0;
        (0..count).map(value).collect()
    }

    fn rms_error(values: &[f32], block_type: BlockType) -> f32 {
        let blocks = quantize(values, block_type).unwrap();
        let mut found = vec![0.0; values.len()];
        dequantize(block_type, &blocks, &mut found);
        let squares = values.iter().zip(&found).map(|(x, y)| (x - y) * (x - y));
        (squares.sum::<f32>() / values.len() as f32).sqrt()
    }

    #[test]
    fn errors_of_normal_values() {
        let values = normal(64 * 256);
        // A uniform step s has an RMS error of s / √12; the largest of 32 normal values is about
        // 2.1.
        assert!(rms_error(&values, BlockType::Q8_0) < 0.006);
        let q4_0 = rms_error(&values, BlockType::Q4_0);
        let q4_k = rms_error(&values, BlockType::Q4K);
        assert!(q4_0 < 0.1 && q4_k < 0.08 && q4_k < q4_0, "{q4_0} {q4_k}");
    }

    #[test]
    fn special_rows() {
        for block_type in [BlockType::Q8_0, BlockType::Q4_0, BlockType::Q4K] {
            assert_eq!(rms_error(&[0.0; 256], block_type), 0.0);
            assert!(rms_error(&[0.5; 256], block_type) < 2e-3);
            assert!(rms_error(&[-0.5; 256], block_type) < 2e-3);
            assert!(quantize(&[0.0; 31], block_type).is_err());
        }
        let refused = quantize(&[0.0; 256], BlockType::Q6K).unwrap_err();
        assert_eq!(refused, BlockError::NotWritten(BlockType::Q6K));
    }
}
