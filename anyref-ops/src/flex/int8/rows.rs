//! Inputs of a product, rounded to eight bits with one scale for each row.

use rayon::prelude::*;

use super::super::buffer::SMALL;
use super::super::linear::Scratch;
use super::super::pack::interleave;
use super::super::simd::{Kernel, Simd, dispatch};
use super::matrix::{IN_WORD, OFFSET, rounded};

/// Rows of a block, which are interleaved.
pub(super) const BLOCK: usize = 12;

/// Scale of a row, and the start of its sums.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Factors {
    /// Size of a step.
    pub(super) scale: f32,
    /// Undoes the offset of the weights: -128 times the sum of the steps.
    pub(super) start: i32,
}

/// Rows in blocks; a block holds each word of all its rows in turn.
pub(super) struct Rows {
    values: Scratch<u32>,
    factors: Vec<Factors>,
    words: usize,
}

/// Rows of a block.
#[derive(Clone, Copy)]
pub(super) struct RowBlock<'a> {
    /// `[words, BLOCK]`, each word of four inputs
    pub(super) values: &'a [u32],
    /// Factors of at most [`BLOCK`] rows.
    pub(super) factors: &'a [Factors],
}

impl Rows {
    /// Rounds rows to steps of 1/127 of their largest magnitude.
    ///
    /// # Shapes
    /// - x: `[rows, depth]`, neither 0
    pub(super) fn round(x: &[f32], depth: usize) -> Self {
        let (count, words) = (x.len() / depth, depth.div_ceil(IN_WORD));
        let mut values = Scratch::new(count.div_ceil(BLOCK) * words * BLOCK);
        let mut factors = vec![Factors::default(); count];
        let blocks = values.chunks_exact_mut(words * BLOCK);
        let blocks = blocks.zip(factors.chunks_mut(BLOCK));
        let blocks: Vec<_> = blocks.zip(x.chunks(BLOCK * depth)).collect();
        let space = || vec![0u32; words * BLOCK];
        let round = |space: &mut Vec<u32>, ((values, factors), x): ((&mut [u32], _), _)| {
            dispatch(Round {
                x,
                depth,
                space,
                factors,
            });
            let mut rows = space.chunks_exact(words).take(x.len() / depth);
            let rows: [_; BLOCK] = core::array::from_fn(|_| rows.next().unwrap_or(&[]));
            interleave(rows, values, BLOCK);
        };
        match x.len() <= SMALL {
            true => {
                let mut space = space();
                blocks
                    .into_iter()
                    .for_each(|block| round(&mut space, block));
            }
            false => blocks.into_par_iter().for_each_init(space, round),
        }
        Self {
            values,
            factors,
            words,
        }
    }

    /// Blocks from the first row on.
    pub(super) fn blocks(&self) -> impl ExactSizeIterator<Item = RowBlock<'_>> {
        let blocks = self.values.chunks_exact(self.words * BLOCK);
        let blocks = blocks.zip(self.factors.chunks(BLOCK));
        blocks.map(|(values, factors)| RowBlock { values, factors })
    }
}

/// Rounds the rows of a block.
struct Round<'a> {
    x: &'a [f32],
    depth: usize,
    /// `[BLOCK, words]`
    space: &'a mut [u32],
    factors: &'a mut [Factors],
}

impl Kernel for Round<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let words = self.depth.div_ceil(IN_WORD);
        let rows = self.x.chunks_exact(self.depth);
        let rows = rows.zip(self.space.chunks_exact_mut(words));
        for ((x, space), factors) in rows.zip(self.factors) {
            *factors = round(x, space);
        }
    }
}

#[inline(always)]
fn round(x: &[f32], words: &mut [u32]) -> Factors {
    /// Inputs of a vector of bytes.
    const TOGETHER: usize = 64;
    // NaN counts as the largest value.
    let size = |x: f32| x.to_bits() & 0x7fff_ffff;
    let mut most = [0; TOGETHER];
    let (chunks, rest) = x.as_chunks::<TOGETHER>();
    for chunk in chunks {
        for (most, &x) in most.iter_mut().zip(chunk) {
            *most = size(x).max(*most);
        }
    }
    for (most, &x) in most.iter_mut().zip(rest) {
        *most = size(x).max(*most);
    }
    let largest = f32::from_bits(most.into_iter().fold(0, u32::max));
    let scale = largest / 127.0;
    let steps = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let steps = if steps.is_finite() { steps } else { 0.0 };
    let mut sums = [0i32; TOGETHER];
    let (whole, last) = words.split_at_mut(chunks.len() * TOGETHER / IN_WORD);
    let whole = whole.as_chunks_mut::<{ TOGETHER / IN_WORD }>().0;
    for (chunk, words) in chunks.iter().zip(whole) {
        let mut bytes = [0u8; TOGETHER];
        for ((byte, sum), &x) in bytes.iter_mut().zip(&mut sums).zip(chunk) {
            let step = rounded(x, steps);
            *byte = step as u8;
            *sum += i32::from(step);
        }
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<IN_WORD>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
    }
    let mut total: i32 = sums.iter().sum();
    for (inputs, word) in rest.chunks(IN_WORD).zip(last) {
        let mut bytes = [0; IN_WORD];
        for (byte, &x) in bytes.iter_mut().zip(inputs) {
            let step = rounded(x, steps);
            *byte = step as u8;
            total += i32::from(step);
        }
        *word = u32::from_le_bytes(bytes);
    }
    Factors {
        scale,
        start: total.wrapping_mul(-i32::from(OFFSET)),
    }
}
