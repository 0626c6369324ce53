//! Blocks to floats, in the arithmetic of ggml: single products and sums in f32.

use burn::tensor::f16;

use super::block_type::BlockType;
use super::k_scales::unpack_k_scales;

/// Converts whole blocks to floats, bit for bit as ggml and PyPI's `gguf` do.
///
/// # Shapes
/// - blocks: bytes of `n` blocks
/// - output: their `n · values` values
///
/// # Panics
/// When there are not as many values as the blocks have, or a block is not whole.
pub fn dequantize(block_type: BlockType, blocks: &[u8], output: &mut [f32]) {
    let (bytes, values) = (block_type.bytes(), block_type.values());
    assert!(blocks.len().is_multiple_of(bytes), "whole blocks");
    assert_eq!(blocks.len() / bytes, output.len() / values);
    assert!(
        output.len().is_multiple_of(values),
        "values of whole blocks"
    );
    let block = match block_type {
        BlockType::Q4_0 => q4_0,
        BlockType::Q4_1 => q4_1,
        BlockType::Q5_0 => q5_0,
        BlockType::Q5_1 => q5_1,
        BlockType::Q8_0 => q8_0,
        BlockType::Q4K => q4_k,
        BlockType::Q5K => q5_k,
        BlockType::Q6K => q6_k,
    };
    let outputs = output.chunks_exact_mut(values);
    for (bytes, output) in blocks.chunks_exact(bytes).zip(outputs) {
        block(bytes, output);
    }
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Nibbles of 16 bytes, the low ones (the first half of a block) first.
pub(super) fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let low = bytes.iter().map(|byte| byte & 15);
    low.chain(bytes.iter().map(|byte| byte >> 4))
}

/// Fifth bits of 32 values.
pub(super) fn fifth_bits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (0..32).map(move |i| ((bits >> i & 1) << 4) as u8)
}

fn q4_0(block: &[u8], output: &mut [f32]) {
    let d = half(block);
    for (out, q) in output.iter_mut().zip(nibbles(&block[2..])) {
        *out = d * (f32::from(q) - 8.0);
    }
}

fn q4_1(block: &[u8], output: &mut [f32]) {
    let (d, m) = (half(block), half(&block[2..]));
    for (out, q) in output.iter_mut().zip(nibbles(&block[4..])) {
        *out = d * f32::from(q) + m;
    }
}

fn q5_0(block: &[u8], output: &mut [f32]) {
    let d = half(block);
    let values = nibbles(&block[6..]).zip(fifth_bits(&block[2..]));
    for (out, (low, high)) in output.iter_mut().zip(values) {
        *out = d * (f32::from(low | high) - 16.0);
    }
}

fn q5_1(block: &[u8], output: &mut [f32]) {
    let (d, m) = (half(block), half(&block[2..]));
    let values = nibbles(&block[8..]).zip(fifth_bits(&block[4..]));
    for (out, (low, high)) in output.iter_mut().zip(values) {
        *out = d * f32::from(low | high) + m;
    }
}

fn q8_0(block: &[u8], output: &mut [f32]) {
    let d = half(block);
    for (out, &q) in output.iter_mut().zip(&block[2..]) {
        *out = d * f32::from(q as i8);
    }
}

/// Factor and minimum of each 32 values of a `Q4_K` or `Q5_K` block.
fn k_factors(block: &[u8]) -> [(f32, f32); 8] {
    let (d, dmin) = (half(block), half(&block[2..]));
    let packed = block[4..16].try_into().expect("twelve bytes");
    let [scales, minima] = unpack_k_scales(packed);
    core::array::from_fn(|i| (d * f32::from(scales[i]), dmin * f32::from(minima[i])))
}

fn q4_k(block: &[u8], output: &mut [f32]) {
    let factors = k_factors(block);
    let pairs = output
        .chunks_exact_mut(64)
        .zip(block[16..].chunks_exact(32));
    for (pair, (output, bytes)) in pairs.enumerate() {
        let (low, high) = output.split_at_mut(32);
        let [(d, m), (d_high, m_high)] = [factors[2 * pair], factors[2 * pair + 1]];
        for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
            *low = d * f32::from(byte & 15) - m;
            *high = d_high * f32::from(byte >> 4) - m_high;
        }
    }
}

fn q5_k(block: &[u8], output: &mut [f32]) {
    let factors = k_factors(block);
    let (bits, bytes) = (&block[16..48], &block[48..]);
    let pairs = output.chunks_exact_mut(64).zip(bytes.chunks_exact(32));
    for (pair, (output, bytes)) in pairs.enumerate() {
        let (low, high) = output.split_at_mut(32);
        let [(d, m), (d_high, m_high)] = [factors[2 * pair], factors[2 * pair + 1]];
        for (i, (low, high)) in low.iter_mut().zip(high).enumerate() {
            let fifth = |index: usize| (bits[i] >> index & 1) << 4;
            *low = d * f32::from(bytes[i] & 15 | fifth(2 * pair)) - m;
            *high = d_high * f32::from(bytes[i] >> 4 | fifth(2 * pair + 1)) - m_high;
        }
    }
}

fn q6_k(block: &[u8], output: &mut [f32]) {
    let d = half(&block[208..]);
    let halves = output.chunks_exact_mut(128);
    for (index, output) in halves.enumerate() {
        let low = &block[64 * index..][..64];
        let high = &block[128 + 32 * index..][..32];
        let scales = &block[192 + 8 * index..][..8];
        for (i, out) in output.iter_mut().enumerate() {
            let (quarter, at) = (i / 32, i % 32);
            let byte = low[at + 32 * (quarter % 2)];
            let bits = if quarter < 2 { byte & 15 } else { byte >> 4 };
            let q = bits | (high[at] >> (2 * quarter) & 3) << 4;
            let factor = d * f32::from(scales[i / 16] as i8);
            *out = factor * (f32::from(q) - 32.0);
        }
    }
}
