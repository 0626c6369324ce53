//! Words to values; see [`planes`](crate::blocks) for their layout.

use cubecl::prelude::*;

use crate::blocks::{BlockType, PIECE};

/// Pieces with the same factors of a format in blocks of 32.
const IN_BLOCK: usize = 32 / PIECE;
/// Pieces of a K block.
const IN_K_BLOCK: usize = 256 / PIECE;
/// Words of a K block's factors.
const K_FACTORS: usize = 5;

/// Returns whether blocks have a scale and no minimum, and are stored two a word.
fn has_scale_alone(format: BlockType) -> bool {
    matches!(format, BlockType::Q8_0 | BlockType::Q4_0)
}

/// Step of the value 0, where all steps of a block have the same.
fn zero(format: BlockType) -> f32 {
    match format {
        BlockType::Q8_0 => 128.0,
        BlockType::Q4_0 => 8.0,
        BlockType::Q6K => 32.0,
        _ => 0.0,
    }
}

/// Float of the lowest sixteen bits, exact for every half-precision number on every device.
#[cube]
fn half(bits: u32) -> f32 {
    let exponent = (bits >> 10u32) & 31u32;
    let mantissa = bits & 1023u32;
    let normal = f32::reinterpret(((bits & 0x7fffu32) << 13u32) + 0x3800_0000u32);
    let subnormal = f32::cast_from(mantissa) * 5.960_464_5e-8;
    let special = f32::reinterpret(0x7f80_0000u32 | (mantissa << 13u32));
    let finite = select(exponent == 0u32, subnormal, normal);
    let size = select(exponent == 31u32, special, finite);
    select((bits & 0x8000u32) == 0u32, size, -size)
}

#[cube]
fn byte(word: u32, index: usize) -> f32 {
    f32::cast_from((word >> (8 * index) as u32) & 255u32)
}

/// Reads the scale and the addend of a piece: values are `scale · (step - zero) + addend`.
#[cube]
fn factors(
    words: &Array<u32>,
    row: usize,
    piece: usize,
    pieces: usize,
    #[comptime] format: BlockType,
) -> (f32, f32) {
    if comptime!(has_scale_alone(format)) {
        let steps = comptime!(if format == BlockType::Q8_0 {
            2usize
        } else {
            1usize
        });
        let block = piece / IN_BLOCK;
        let word = words[row + steps * pieces + block / 2];
        (half(word >> (16 * (block % 2)) as u32), f32::new(0.0))
    } else if comptime!(format == BlockType::Q4_1) {
        let word = words[row + pieces + piece / IN_BLOCK];
        (half(word), half(word >> 16u32))
    } else if comptime!(format == BlockType::Q4K) {
        let first = row + pieces + piece / IN_K_BLOCK * K_FACTORS;
        let word = words[first];
        let part = piece % IN_K_BLOCK / IN_BLOCK;
        let pair = words[first + 1 + part / 2] >> (16 * (part % 2)) as u32;
        let scale = half(word) * byte(pair, 0usize);
        let minimum = half(word >> 16u32) * byte(pair, 1usize);
        (scale, -minimum)
    } else {
        let first = row + pieces + pieces / 2 + piece / IN_K_BLOCK * K_FACTORS;
        let part = piece % IN_K_BLOCK / 2;
        let scales = words[first + part / 4];
        let scale = half(words[first + 4]) * (byte(scales, part % 4) - 128.0);
        (scale, f32::new(0.0))
    }
}

/// Decodes the values of a piece.
///
/// # Arguments
/// - `row`: first word of the row
/// - `pieces`: pieces of the row
#[cube]
pub(super) fn decode(
    words: &Array<u32>,
    row: usize,
    piece: usize,
    pieces: usize,
    values: &mut Array<f32>,
    #[comptime] format: BlockType,
) {
    let (scale, addend) = factors(words, row, piece, pieces, format);
    let zero = f32::new(comptime!(zero(format)));
    if comptime!(format == BlockType::Q8_0) {
        #[unroll]
        for part in 0..2u32 {
            let word = words[row + 2 * piece + part as usize];
            #[unroll]
            for i in 0..4u32 {
                let step = f32::cast_from((word >> comptime!(8 * i)) & 255u32);
                values[comptime!((4 * part + i) as usize)] = scale * (step - zero);
            }
        }
    } else if comptime!(format == BlockType::Q6K) {
        let low = words[row + piece];
        let high = words[row + pieces + piece / 2] >> (16 * (piece % 2)) as u32;
        #[unroll]
        for i in 0..8u32 {
            let low = (low >> comptime!(4 * i)) & 15u32;
            let high = (high >> comptime!(2 * i)) & 3u32;
            let step = f32::cast_from(low | (high << 4u32));
            values[comptime!(i as usize)] = scale * (step - zero);
        }
    } else {
        let word = words[row + piece];
        #[unroll]
        for i in 0..8u32 {
            let step = f32::cast_from((word >> comptime!(4 * i)) & 15u32);
            values[comptime!(i as usize)] = scale * (step - zero) + addend;
        }
    }
}
