//! Blocks as planes of 32-bit words, the form that the kernels of GPUs read: any device has such
//! words, and neighbouring threads read neighbouring ones.
//!
//! A row is stored as its planes one after another:
//!
//! | format | steps | more bits of the steps | factors |
//! | --- | --- | --- | --- |
//! | `Q8_0` | four a word, plus 128 | | two blocks a word: `d` |
//! | `Q4_0` | eight a word | | two blocks a word: `d` |
//! | `Q4_1` | eight a word | | a word a block: `d`, `m` |
//! | `Q4_K` | eight a word | | five words a block: `d`, `dmin`; scale and minimum of each 32 |
//! | `Q6_K` | low bits, eight a word | two bits, 16 a word | five words: 16 scales plus 128, `d` |
//!
//! Steps are in the order of the inputs, the first one in the lowest bits.

use rayon::prelude::*;

use super::block_type::BlockType;
use super::dequantize::{fifth_bits, nibbles};
use super::k_scales::{pack_k_scales, unpack_k_scales};
use super::matrix::Blocks;

/// Inputs that a kernel decodes at once.
pub(crate) const PIECE: usize = 8;
/// Most values of a block.
const LONGEST: usize = 256;

/// Matrix in planes, of a format that has a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaneLayout {
    /// `Q8_0`, `Q4_0`, `Q4_1`, `Q4_K` or `Q6_K`.
    pub(crate) block_type: BlockType,
    /// Rows: outputs of the weight.
    pub(crate) rows: usize,
    /// Values of a row: inputs of the weight.
    pub(crate) columns: usize,
}

impl PlaneLayout {
    /// Groups of [`PIECE`] values in a row.
    pub(crate) fn pieces(&self) -> usize {
        self.columns / PIECE
    }

    /// Words of a row.
    pub(crate) fn row_words(&self) -> usize {
        let blocks = self.columns / self.block_type.values();
        let factors = match self.block_type {
            BlockType::Q4_1 => blocks,
            BlockType::Q4K | BlockType::Q6K => 5 * blocks,
            _ => blocks.div_ceil(2),
        };
        self.factors() + factors
    }

    /// First word of a row's factors.
    fn factors(&self) -> usize {
        match self.block_type {
            BlockType::Q8_0 => 2 * self.pieces(),
            BlockType::Q6K => self.pieces() + self.pieces() / 2,
            _ => self.pieces(),
        }
    }
}

/// Packs blocks: `[rows, words of a row]`. The values are equal, except for `Q5_1` and `Q5_K`,
/// which are rounded to `Q8_0` with a warning in the log.
pub(crate) fn pack_planes(blocks: &Blocks<'_>) -> (PlaneLayout, Vec<i32>) {
    let from = blocks.block_type();
    let block_type = match from {
        BlockType::Q5_0 => BlockType::Q8_0,
        BlockType::Q5_1 | BlockType::Q5K => {
            log::warn!("{from} weights are converted to Q8_0, which takes more memory");
            let rounded = Blocks::quantize(BlockType::Q8_0, blocks.dims(), &blocks.dequantize());
            return pack_planes(&rounded.expect("rows of whole blocks of 32"));
        }
        same => same,
    };
    let [rows, columns] = blocks.dims();
    let layout = PlaneLayout {
        block_type,
        rows,
        columns,
    };
    let length = layout.row_words();
    let mut words = vec![0i32; rows * length];
    let each = words.par_chunks_exact_mut(length.max(1)).enumerate();
    each.for_each(|(row, words)| {
        let bytes = blocks.row(row).chunks_exact(from.bytes());
        for (index, block) in bytes.enumerate() {
            pack_block(&layout, from, block, index, words);
        }
    });
    (layout, words)
}

/// Restores the blocks, byte for byte those that were packed, except for converted formats.
pub(crate) fn unpack_planes(layout: &PlaneLayout, words: &[i32]) -> Blocks<'static> {
    let block_type = layout.block_type;
    let (bytes, length) = (block_type.bytes(), layout.row_words());
    let row_bytes = layout.columns / block_type.values() * bytes;
    let mut all = vec![0u8; layout.rows * row_bytes];
    let rows = all.par_chunks_exact_mut(row_bytes.max(1));
    let rows = rows.zip(words.par_chunks_exact(length.max(1)));
    rows.for_each(|(row, words)| {
        for (index, block) in row.chunks_exact_mut(bytes).enumerate() {
            unpack_block(layout, words, index, block);
        }
    });
    let blocks = Blocks::new(block_type, [layout.rows, layout.columns], all);
    blocks.expect("whole blocks")
}

fn pack_block(
    layout: &PlaneLayout,
    from: BlockType,
    block: &[u8],
    index: usize,
    words: &mut [i32],
) {
    let mut steps = [0; LONGEST];
    let steps = &mut steps[..from.values()];
    read_steps(from, block, steps);
    let (bits, first) = (step_bits(layout.block_type), index * steps.len());
    let (planes, factors) = words.split_at_mut(layout.factors());
    let (low, high) = planes.split_at_mut(layout.pieces() * bits / 4);
    put_bits(bits, steps, &mut low[first * bits / 32..]);
    if layout.block_type == BlockType::Q6K {
        steps.iter_mut().for_each(|step| *step >>= 4);
        put_bits(2, steps, &mut high[first / 16..]);
    }
    match layout.block_type {
        BlockType::Q4_1 => factors[index] = word(block),
        BlockType::Q4K => {
            let packed = block[4..16].try_into().expect("twelve bytes");
            let [scales, minima] = unpack_k_scales(packed);
            let pairs: [u8; 16] = core::array::from_fn(|i| [scales, minima][i % 2][i / 2]);
            let factors = &mut factors[5 * index..][..5];
            factors[0] = word(block);
            put_bits(8, &pairs, &mut factors[1..]);
        }
        BlockType::Q6K => {
            let scales: [u8; 16] = core::array::from_fn(|i| block[192 + i] ^ 0x80);
            let factors = &mut factors[5 * index..][..5];
            put_bits(8, &scales, factors);
            factors[4] = i32::from(u16::from_le_bytes([block[208], block[209]]));
        }
        _ => {
            let d = u32::from(u16::from_le_bytes([block[0], block[1]]));
            factors[index / 2] |= (d << (16 * (index % 2))) as i32;
        }
    }
}

fn unpack_block(layout: &PlaneLayout, words: &[i32], index: usize, block: &mut [u8]) {
    let mut steps = [0; LONGEST];
    let steps = &mut steps[..layout.block_type.values()];
    let (bits, first) = (step_bits(layout.block_type), index * steps.len());
    let (planes, factors) = words.split_at(layout.factors());
    let (low, high) = planes.split_at(layout.pieces() * bits / 4);
    get_bits(bits, &low[first * bits / 32..], steps);
    if layout.block_type == BlockType::Q6K {
        let mut upper = [0; LONGEST];
        get_bits(2, &high[first / 16..], &mut upper);
        let pairs = steps.iter_mut().zip(upper);
        pairs.for_each(|(step, upper)| *step |= upper << 4);
    }
    write_steps(layout.block_type, steps, block);
    match layout.block_type {
        BlockType::Q4_1 => block[..4].copy_from_slice(&factors[index].to_le_bytes()),
        BlockType::Q4K => {
            let factors = &factors[5 * index..][..5];
            let mut pairs = [0; 16];
            get_bits(8, &factors[1..], &mut pairs);
            let [scales, minima] =
                [0, 1].map(|which| core::array::from_fn(|i| pairs[2 * i + which]));
            block[..4].copy_from_slice(&factors[0].to_le_bytes());
            block[4..16].copy_from_slice(&pack_k_scales(&[scales, minima]));
        }
        BlockType::Q6K => {
            let factors = &factors[5 * index..][..5];
            get_bits(8, factors, &mut block[192..208]);
            block[192..208].iter_mut().for_each(|scale| *scale ^= 0x80);
            block[208..].copy_from_slice(&factors[4].to_le_bytes()[..2]);
        }
        _ => {
            let both = factors[index / 2].to_le_bytes();
            block[..2].copy_from_slice(&both[2 * (index % 2)..][..2]);
        }
    }
}

/// Bits of a step in the first plane.
fn step_bits(block_type: BlockType) -> usize {
    match block_type {
        BlockType::Q8_0 => 8,
        _ => 4,
    }
}

fn word(bytes: &[u8]) -> i32 {
    i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Writes the lowest `bits` of each step into words.
fn put_bits(bits: usize, steps: &[u8], words: &mut [i32]) {
    for (steps, word) in steps.chunks_exact(32 / bits).zip(words) {
        let mask = (1u32 << bits) - 1;
        let together = steps.iter().rev();
        *word = together.fold(0, |all, &step| all << bits | u32::from(step) & mask) as i32;
    }
}

/// Reads steps of `bits` bits from words.
fn get_bits(bits: usize, words: &[i32], steps: &mut [u8]) {
    for (steps, &word) in steps.chunks_exact_mut(32 / bits).zip(words) {
        for (i, step) in steps.iter_mut().enumerate() {
            *step = (word as u32 >> (bits * i) & ((1 << bits) - 1)) as u8;
        }
    }
}

/// Place of step `i` of a `Q4_K` block: its byte, and whether it is the upper half.
fn q4_k_place(i: usize) -> (usize, bool) {
    (16 + 32 * (i / 64) + i % 32, i % 64 >= 32)
}

/// Place of step `i` of a `Q6_K` block: the byte of its low bits, whether they are the upper half,
/// the byte of its high bits, and their shift.
fn q6_k_place(i: usize) -> (usize, bool, usize, usize) {
    let (half, quarter, at) = (i / 128, i / 32 % 4, i % 32);
    let low = 64 * half + 32 * (quarter % 2) + at;
    (low, quarter >= 2, 128 + 32 * half + at, 2 * quarter)
}

fn nibble(byte: u8, upper: bool) -> u8 {
    if upper { byte >> 4 } else { byte & 15 }
}

/// Steps of a block in the order of its values, without signs; those of `Q5_0` as of `Q8_0`.
fn read_steps(from: BlockType, block: &[u8], steps: &mut [u8]) {
    match from {
        BlockType::Q8_0 => {
            let bytes = steps.iter_mut().zip(&block[2..]);
            bytes.for_each(|(step, byte)| *step = byte ^ 0x80);
        }
        BlockType::Q5_0 => {
            let values = nibbles(&block[6..]).zip(fifth_bits(&block[2..]));
            for (step, (low, high)) in steps.iter_mut().zip(values) {
                *step = (low | high) + 128 - 16;
            }
        }
        BlockType::Q4K => {
            for (i, step) in steps.iter_mut().enumerate() {
                let (byte, upper) = q4_k_place(i);
                *step = nibble(block[byte], upper);
            }
        }
        BlockType::Q6K => {
            for (i, step) in steps.iter_mut().enumerate() {
                let (low, upper, high, shift) = q6_k_place(i);
                *step = nibble(block[low], upper) | (block[high] >> shift & 3) << 4;
            }
        }
        _ => {
            let first = from.bytes() - 16;
            let values = steps.iter_mut().zip(nibbles(&block[first..]));
            values.for_each(|(step, value)| *step = value);
        }
    }
}

/// Writes steps into a block whose other bytes may be anything, and whose steps are zero.
fn write_steps(to: BlockType, steps: &[u8], block: &mut [u8]) {
    let put = |byte: &mut u8, upper: bool, step: u8| *byte |= step << (4 * u8::from(upper));
    for (i, &step) in steps.iter().enumerate() {
        match to {
            BlockType::Q8_0 => block[2 + i] = step ^ 0x80,
            BlockType::Q4K => {
                let (byte, upper) = q4_k_place(i);
                put(&mut block[byte], upper, step);
            }
            BlockType::Q6K => {
                let (low, upper, high, shift) = q6_k_place(i);
                put(&mut block[low], upper, step & 15);
                block[high] |= (step >> 4) << shift;
            }
            _ => put(&mut block[to.bytes() - 16 + i % 16], i >= 16, step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_hold_every_bit() {
        for block_type in [
            BlockType::Q8_0,
            BlockType::Q4_0,
            BlockType::Q4_1,
            BlockType::Q4K,
            BlockType::Q6K,
        ] {
            // An odd number of blocks, whose factors fill half of the last word.
            let columns = 3 * block_type.values();
            let length = 5 * block_type.row_bytes(columns).unwrap();
            let bytes: Vec<u8> = (0..length)
                .map(|i| (i * i * 31 + i * 7 + 3) as u8)
                .collect();
            let blocks = Blocks::new(block_type, [5, columns], bytes).unwrap();
            let (layout, words) = pack_planes(&blocks);
            assert_eq!(words.len(), 5 * layout.row_words());
            let size = 4 * words.len();
            assert!(
                size <= length + length / 25 + 5 * 2,
                "{block_type}: {size} of {length}"
            );
            let again = unpack_planes(&layout, &words);
            assert_eq!(again.block_type(), block_type);
            assert_eq!(again.bytes(), blocks.bytes(), "{block_type}");
        }
    }

    #[test]
    fn other_formats_become_q8_0() {
        for (from, most) in [
            (BlockType::Q5_0, 0.0),
            (BlockType::Q5_1, 0.01),
            (BlockType::Q5K, 0.02),
        ] {
            let length = from.row_bytes(256).unwrap() * 2;
            let mut bytes: Vec<u8> = (0..length).map(|i| (i * 89 + 5) as u8).collect();
            for block in bytes.chunks_exact_mut(from.bytes()) {
                block[..2].copy_from_slice(&[0x12, 0x24]);
                if from != BlockType::Q5_0 {
                    block[2..4].copy_from_slice(&[0x31, 0x25]);
                }
            }
            let blocks = Blocks::new(from, [2, 256], bytes).unwrap();
            let (layout, words) = pack_planes(&blocks);
            let found = unpack_planes(&layout, &words);
            assert_eq!(found.block_type(), BlockType::Q8_0);
            let expected = blocks.dequantize();
            let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            for (found, expected) in found.dequantize().iter().zip(expected) {
                assert!((found - expected).abs() <= most * largest, "{from}");
            }
        }
    }
}
