//! Floats to blocks.

use burn::tensor::f16;

use super::block_type::BlockType;
use super::error::BlockError;
use super::k_lines::{GROUP, LANES, Line, best_lines, inverse};
use super::k_scales::pack_k_scales;

/// Largest scale and minimum that six bits hold.
const LARGEST_K_SCALE: f32 = 63.0;
/// Groups of a block of `Q4_K`.
const GROUPS: usize = 8;

/// Rounds values to blocks. `Q8_0` and `Q4_0` are rounded as in ggml; the factors of `Q4_K` are the
/// best of several candidates by least squared error. The bytes are the same on every instruction
/// set.
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
    let format = match block_type {
        BlockType::Q8_0 => Written::Q8_0,
        BlockType::Q4_0 => Written::Q4_0,
        BlockType::Q4K => Written::Q4K,
        other => return Err(BlockError::NotWritten(other)),
    };
    let mut bytes = vec![0; length];
    Rounding {
        values,
        format,
        bytes: &mut bytes,
    }
    .run();
    Ok(bytes)
}

/// Format that is written.
#[derive(Clone, Copy)]
enum Written {
    Q8_0,
    Q4_0,
    Q4K,
}

/// Values of whole blocks, and room for these.
struct Rounding<'a> {
    values: &'a [f32],
    format: Written,
    bytes: &'a mut [u8],
}

impl Rounding<'_> {
    #[cfg(feature = "flex")]
    fn run(self) {
        crate::flex::dispatch(self);
    }

    #[cfg(not(feature = "flex"))]
    fn run(self) {
        self.all_blocks();
    }

    #[inline(always)]
    fn all_blocks(self) {
        let (values, bytes) = (self.values, self.bytes);
        match self.format {
            Written::Q8_0 => {
                let (values, _) = values.as_chunks::<GROUP>();
                for (values, block) in values.iter().zip(bytes.as_chunks_mut::<34>().0) {
                    q8_0(values, block);
                }
            }
            Written::Q4_0 => {
                let (values, _) = values.as_chunks::<GROUP>();
                for (values, block) in values.iter().zip(bytes.as_chunks_mut::<18>().0) {
                    q4_0(values, block);
                }
            }
            Written::Q4K => {
                let pairs = values.chunks(LANES * GROUP);
                for (values, blocks) in pairs.zip(bytes.chunks_mut(2 * K_BYTES)) {
                    q4_k(values, blocks);
                }
            }
        }
    }
}

#[cfg(feature = "flex")]
impl crate::flex::Kernel for Rounding<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: crate::flex::Simd>(self) {
        self.all_blocks();
    }
}

/// Bytes of a block of `Q4_K`.
const K_BYTES: usize = BlockType::Q4K.bytes();

#[inline(always)]
fn put_half(bytes: &mut [u8], x: f32) {
    bytes.copy_from_slice(&f16::from_f32(x).to_le_bytes());
}

#[inline(always)]
fn q8_0(values: &[f32; GROUP], block: &mut [u8; 34]) {
    let largest = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let d = largest / 127.0;
    let steps = inverse(d);
    put_half(&mut block[..2], d);
    for (byte, x) in block[2..].iter_mut().zip(values) {
        *byte = (x * steps).round() as i8 as u8;
    }
}

#[inline(always)]
fn q4_0(values: &[f32; GROUP], block: &mut [u8; 18]) {
    let mut largest = 0.0f32;
    for &x in values {
        if x.abs() > largest.abs() {
            largest = x;
        }
    }
    let d = largest / -8.0;
    let steps = inverse(d);
    put_half(&mut block[..2], d);
    let q = |x: f32| ((x * steps + 8.5) as u8).min(15);
    let (low, high) = values.split_at(GROUP / 2);
    for (byte, (&low, &high)) in block[2..].iter_mut().zip(low.iter().zip(high)) {
        *byte = q(low) | q(high) << 4;
    }
}

/// Rounds the values of two blocks, or of the last one.
#[inline(always)]
fn q4_k(values: &[f32], blocks: &mut [u8]) {
    let mut lanes = [[0.0; LANES]; GROUP];
    for (lane, values) in values.chunks_exact(GROUP).enumerate() {
        for (lanes, &x) in lanes.iter_mut().zip(values) {
            lanes[lane] = x;
        }
    }
    let lines = best_lines(&lanes);
    let values = values.chunks_exact(GROUPS * GROUP);
    let blocks = blocks.chunks_exact_mut(K_BYTES);
    for ((values, block), lines) in values.zip(blocks).zip(lines.as_chunks::<GROUPS>().0) {
        q4_k_block(values, lines, block);
    }
}

#[inline(always)]
fn q4_k_block(values: &[f32], lines: &[Line; GROUPS], block: &mut [u8]) {
    let largest = |of: fn(&Line) -> f32| lines.iter().map(of).fold(0.0f32, f32::max);
    let step = |largest: f32| f16::from_f32(largest / LARGEST_K_SCALE);
    let (d, dmin) = (step(largest(|l| l.factor)), step(largest(|l| l.minimum)));
    let scale = |x: f32, d: f16| {
        (x * inverse(d.to_f32()))
            .round_ties_even()
            .min(LARGEST_K_SCALE)
    };
    let [factors, minima] = [
        lines.map(|line| scale(line.factor, d) as u8),
        lines.map(|line| scale(line.minimum, dmin) as u8),
    ];
    block[..2].copy_from_slice(&d.to_le_bytes());
    block[2..4].copy_from_slice(&dmin.to_le_bytes());
    block[4..16].copy_from_slice(&pack_k_scales(&[factors, minima]));
    let mut nibbles = [[0; GROUP]; GROUPS];
    for (group, nibbles) in nibbles.iter_mut().enumerate() {
        let line = Line {
            factor: d.to_f32() * f32::from(factors[group]),
            minimum: dmin.to_f32() * f32::from(minima[group]),
        };
        line.nibbles(&values[GROUP * group..][..GROUP], nibbles);
    }
    let pairs = nibbles.as_chunks::<2>().0;
    for ([low, high], bytes) in pairs.iter().zip(block[16..].as_chunks_mut::<GROUP>().0) {
        for (byte, (low, high)) in bytes.iter_mut().zip(low.iter().zip(high)) {
            *byte = low | high << 4;
        }
    }
}

#[cfg(test)]
#[path = "quantize_plain.rs"]
mod plain;

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

    /// Values of every kind: zeros, equal ones, of one sign, tiny, huge, infinite and none.
    #[test]
    fn bytes_are_those_of_the_plain_form() {
        let mut values = normal(31 * 256);
        for (index, x) in values.iter_mut().enumerate() {
            match index / 256 {
                3 => *x = 0.0,
                4 => *x = 0.7,
                5 => *x = -0.7,
                6 => *x = x.abs(),
                7 => *x = -x.abs(),
                8 => *x *= 1e-30,
                9 => *x *= 1e-42,
                10 => *x *= 1e30,
                11 if index % 40 == 7 => *x = f32::INFINITY,
                12 if index % 40 == 7 => *x = f32::NAN,
                13 if index % 7 > 0 => *x = -0.0,
                14 => *x += 100.0,
                15 => *x = (*x * 2.0).round() / 2.0,
                _ => {}
            }
        }
        for block_type in [BlockType::Q8_0, BlockType::Q4_0, BlockType::Q4K] {
            let blocks = quantize(&values, block_type).unwrap();
            let expected = plain::quantize(&values, block_type);
            let size = 256 / block_type.values() * block_type.bytes();
            let parts = blocks.chunks(size).zip(expected.chunks(size)).enumerate();
            for (part, (found, expected)) in parts {
                assert_eq!(found, expected, "{block_type}, values {part}");
            }
            // A single block, and an odd number of them.
            let blocks = quantize(&values[..3 * 256], block_type).unwrap();
            assert_eq!(blocks, expected[..3 * size]);
        }
    }
}
