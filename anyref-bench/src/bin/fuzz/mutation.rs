//! Mutation of files, determined by a number.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Values at which counts, lengths and offsets tend to fail.
const EDGES: [u64; 10] = [
    0,
    1,
    0x7F,
    0xFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    1 << 40,
    1 << 60,
    i64::MAX as u64,
    u64::MAX,
];

/// Characters with a meaning in text formats.
const MARKS: &[u8] = b"{}[]\",:\\0-e.+()\n\x80";

/// Mutates one of `seeds` one to eight times, reproducibly for each `number`. One input in sixteen
/// is noise after its first bytes.
pub fn mutated(seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut rng = SmallRng::seed_from_u64(number);
    let mut bytes = seeds.choose(&mut rng).cloned().unwrap_or_default();
    if rng.random_ratio(1, 16) {
        let from = rng.random_range(0..=bytes.len().min(64));
        bytes[from..].fill_with(|| rng.random());
        return bytes;
    }
    let damages = match rng.random_ratio(1, 2) {
        true => 1,
        false => rng.random_range(2..=8),
    };
    for _ in 0..damages {
        damage(&mut bytes, seeds, &mut rng);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut SmallRng) {
    if bytes.is_empty() {
        bytes.push(rng.random());
        return;
    }
    // Headers hold most of the relevant numbers.
    let reach = match rng.random_ratio(1, 2) {
        true => bytes.len(),
        false => bytes.len().min(512),
    };
    let at = rng.random_range(0..reach);
    let end = (at + rng.random_range(1..=64)).min(bytes.len());
    match rng.random_range(0..9) {
        0 => bytes[at] = rng.random(),
        1 => bytes[at] ^= 1 << rng.random_range(0..8),
        2 => {
            let edge = EDGES.choose(rng).copied().unwrap_or_default().to_le_bytes();
            let width = [1, 2, 4, 8][rng.random_range(0..4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&edge[..width]);
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let piece = bytes[at..end].to_vec();
            let to = rng.random_range(0..=bytes.len());
            bytes.splice(to..to, piece);
        }
        6 => bytes.insert(at, MARKS.choose(rng).copied().unwrap_or_default()),
        7 => {
            let other = seeds.choose(rng).map_or(&[][..], Vec::as_slice);
            let from = rng.random_range(0..=other.len());
            let to = (from + rng.random_range(1..=256)).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        _ => bytes[at] = MARKS.choose(rng).copied().unwrap_or_default(),
    }
}
