//! Random blocks for tests.

use super::{BlockType, Blocks};

/// Reproducible bytes.
pub(crate) fn random_bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Places of a block's halves.
pub(crate) fn halves_of(block_type: BlockType) -> &'static [usize] {
    match block_type {
        BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 => &[0],
        BlockType::Q6K => &[208],
        _ => &[0, 2],
    }
}

/// Blocks of random values whose factors are finite and about 0.01.
pub(crate) fn random_blocks(
    block_type: BlockType,
    [rows, columns]: [usize; 2],
    seed: u64,
) -> Blocks<'static> {
    let row = block_type.row_bytes(columns).unwrap();
    let mut all = random_bytes(rows * row, seed);
    for block in all.chunks_exact_mut(block_type.bytes()) {
        for &at in halves_of(block_type) {
            // Exponents of 2^-8 to 2^-5, with a random sign.
            block[at + 1] = 0x1c + (block[at + 1] & 0x8f).min(0x8b) % 12 + (block[at] & 0x80);
        }
    }
    Blocks::new(block_type, [rows, columns], all).unwrap()
}
