//! Weights of eight bits, packed for products with many rows.

use std::borrow::Cow;
use std::ops::Range;

use burn::tensor::f16;
use rayon::prelude::*;

use crate::blocks::{BlockType, Blocks};

/// Outputs of a panel.
pub(super) const PANEL: usize = 32;
/// Inputs of a word, which are multiplied at once.
pub(super) const IN_WORD: usize = 4;
/// Bytes of a line: a word for each output of a panel.
pub(super) const LINE: usize = PANEL * IN_WORD;
/// Offset of each step, so that bytes have no sign.
pub(super) const OFFSET: u8 = 128;
/// Inputs whose products, 127 · 127 each, always fit the sum.
const MOST: usize = (i32::MAX / (127 * 127)) as usize;

/// Bytes of a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct CacheLine([u8; 64]);

/// Weight of a linear layer as integers from -127 to 127, with one scale for each output.
///
/// Bytes are in panels of [`PANEL`] outputs: for every word of inputs a [`LINE`] with the word of
/// each output. Scales are half-precision numbers, so that the matrix can be written as blocks.
#[derive(Debug)]
pub(crate) struct Int8Matrix {
    bytes: Vec<CacheLine>,
    /// A scale for each output, zero for the padding of the last panel.
    pub(super) scales: Vec<f32>,
    pub(super) depth: usize,
    pub(super) width: usize,
}

impl Int8Matrix {
    /// Rounds a matrix `[width, depth]` whose rows, the inputs of an output each, are fetched by
    /// all threads, a panel at a time.
    ///
    /// # Errors
    /// When rows cannot be fetched.
    ///
    /// # Panics
    /// When there are so many inputs that their sums do not fit 32 bits.
    pub(crate) fn read<'a, E: Send>(
        [width, depth]: [usize; 2],
        fetch: impl Fn(Range<usize>) -> Result<Cow<'a, [f32]>, E> + Sync,
    ) -> Result<Self, E> {
        assert!(depth <= MOST, "{depth} inputs");
        let panels = width.div_ceil(PANEL);
        let panel_bytes = depth.div_ceil(IN_WORD) * LINE;
        let count = panels * panel_bytes / size_of::<CacheLine>();
        let mut matrix = Self {
            bytes: vec![CacheLine([OFFSET; 64]); count],
            scales: vec![0.0; panels * PANEL],
            depth,
            width,
        };
        let scales = matrix.scales.chunks_mut(PANEL);
        let bytes = as_bytes_mut(&mut matrix.bytes).chunks_mut(panel_bytes.max(1));
        let panels: Vec<_> = bytes.zip(scales).enumerate().collect();
        panels
            .into_par_iter()
            .try_for_each(|(index, (bytes, scales))| {
                let rows = index * PANEL..width.min((index + 1) * PANEL);
                pack(&fetch(rows)?, depth, bytes, scales);
                Ok(())
            })?;
        Ok(matrix)
    }

    /// Shape, `[inputs, outputs]`.
    pub(crate) fn dims(&self) -> [usize; 2] {
        [self.depth, self.width]
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of_val(&self.bytes[..]) + size_of_val(&self.scales[..])
    }

    /// Words of an output.
    pub(super) fn words(&self) -> usize {
        self.depth.div_ceil(IN_WORD)
    }

    /// Bytes of some panels.
    pub(super) fn panels(&self, panels: Range<usize>) -> &[u8] {
        let panel = self.words() * LINE;
        &as_bytes(&self.bytes)[panels.start * panel..panels.end * panel]
    }

    /// Steps of an output.
    fn steps(&self, output: usize) -> impl Iterator<Item = i8> {
        let (panel, place) = (output / PANEL, output % PANEL);
        let lines = self.panels(panel..panel + 1).chunks_exact(LINE);
        let words = lines.map(move |line| &line[place * IN_WORD..][..IN_WORD]);
        let steps = words.flatten().map(|&byte| (byte ^ OFFSET) as i8);
        steps.take(self.depth)
    }

    /// Writes the values of an output, `[inputs]`.
    ///
    /// # Panics
    /// When there is no such output.
    pub(crate) fn dequantize_row(&self, output: usize, values: &mut [f32]) {
        assert!(output < self.width, "output {output} of {}", self.width);
        let scale = self.scales[output];
        for (value, step) in values.iter_mut().zip(self.steps(output)) {
            *value = scale * f32::from(step);
        }
    }

    /// Blocks of `Q8_0` with the same values: those of an output have its scale.
    ///
    /// # Panics
    /// When the inputs are no whole blocks.
    pub(crate) fn to_blocks(&self) -> Blocks<'static> {
        let row = BlockType::Q8_0.row_bytes(self.depth);
        let row = row.expect("inputs are whole blocks");
        let mut bytes = vec![0; row * self.width];
        let rows = bytes.par_chunks_exact_mut(row.max(1)).enumerate();
        rows.for_each(|(output, row)| {
            let scale = f16::from_f32(self.scales[output]).to_le_bytes();
            let mut steps = self.steps(output);
            for block in row.chunks_exact_mut(BlockType::Q8_0.bytes()) {
                block[..2].copy_from_slice(&scale);
                for (byte, step) in block[2..].iter_mut().zip(&mut steps) {
                    *byte = step as u8;
                }
            }
        });
        let blocks = Blocks::new(BlockType::Q8_0, [self.width, self.depth], bytes);
        blocks.expect("as many bytes as rows have")
    }
}

/// Rounds rows to the outputs of a panel, whose bytes are all [`OFFSET`].
fn pack(rows: &[f32], depth: usize, bytes: &mut [u8], scales: &mut [f32]) {
    if depth == 0 {
        return;
    }
    for (place, (row, scale)) in rows.chunks_exact(depth).zip(scales).enumerate() {
        *scale = scale_of(row);
        let steps = if *scale > 0.0 { 1.0 / *scale } else { 0.0 };
        let lines = bytes.chunks_exact_mut(LINE);
        for (inputs, line) in row.chunks(IN_WORD).zip(lines) {
            for (byte, &x) in line[place * IN_WORD..].iter_mut().zip(inputs) {
                *byte = rounded(x, steps) as u8 ^ OFFSET;
            }
        }
    }
}

/// Size of a step: the smallest half-precision number that 127 times reaches the largest magnitude,
/// or an f32 where half precision is exceeded. NaN counts as the largest.
fn scale_of(row: &[f32]) -> f32 {
    let size = |x: f32| x.to_bits() & 0x7fff_ffff;
    let largest = f32::from_bits(row.iter().fold(0, |most, &x| size(x).max(most)));
    let scale = largest / 127.0;
    let half = f16::from_f32(scale);
    let half = match half.to_f32() < scale {
        true => f16::from_bits(half.to_bits() + 1),
        false => half,
    };
    if half.is_finite() {
        half.to_f32()
    } else {
        scale
    }
}

/// `x · steps`, rounded to nearest even.
#[inline(always)]
pub(super) fn rounded(x: f32, steps: f32) -> i8 {
    /// `x + MAGIC` has `x`, rounded to nearest even, in its lowest bits.
    const MAGIC: f32 = 12_582_912.0;
    (x * steps + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i8
}

fn as_bytes(lines: &[CacheLine]) -> &[u8] {
    // SAFETY: lines are bytes.
    unsafe { core::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
}

fn as_bytes_mut(lines: &mut [CacheLine]) -> &mut [u8] {
    // SAFETY: lines are bytes.
    unsafe { core::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
}
