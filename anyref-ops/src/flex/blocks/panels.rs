//! Weights in blocks, repacked for integer products.

use burn::tensor::f16;
use rayon::prelude::*;

use super::aligned::Aligned;
use crate::blocks::{
    BlockRows, BlockType, Blocks, PART, dequantize, pack_k_scales, unpack_k_scales,
};

/// Outputs of a panel: the number of integers in the widest vector.
pub(crate) const OUTPUTS: usize = 16;
/// Inputs of a 32-bit word, one a byte.
pub(super) const IN_WORD: usize = 4;
/// Bytes of the values of [`OUTPUTS`] outputs for [`IN_WORD`] inputs, one a byte.
const LINE: usize = OUTPUTS * IN_WORD;

/// Format of panels; each has its own kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PanelType {
    /// `d · (q - 128)`, a byte a value.
    Q8_0,
    /// As [`BlockType::Q4_0`].
    Q4_0,
    /// As [`BlockType::Q4_1`].
    Q4_1,
    /// As [`BlockType::Q4K`], with scales of eight bits.
    Q4K,
    /// As [`BlockType::Q6K`].
    Q6K,
}

impl PanelType {
    /// Panel format that holds the same values exactly; `None` for block formats that must be
    /// converted.
    fn of(block_type: BlockType) -> Option<Self> {
        match block_type {
            BlockType::Q8_0 | BlockType::Q5_0 => Some(Self::Q8_0),
            BlockType::Q4_0 => Some(Self::Q4_0),
            BlockType::Q4_1 => Some(Self::Q4_1),
            BlockType::Q4K => Some(Self::Q4K),
            BlockType::Q6K => Some(Self::Q6K),
            BlockType::Q5_1 | BlockType::Q5K => None,
        }
    }

    /// Format of the same values in blocks.
    fn block_type(self) -> BlockType {
        match self {
            Self::Q8_0 => BlockType::Q8_0,
            Self::Q4_0 => BlockType::Q4_0,
            Self::Q4_1 => BlockType::Q4_1,
            Self::Q4K => BlockType::Q4K,
            Self::Q6K => BlockType::Q6K,
        }
    }

    /// Inputs of a block.
    pub(super) const fn inputs(self) -> usize {
        match self {
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// Bytes of the values of one block for all outputs of a panel.
    pub(super) const fn value_bytes(self) -> usize {
        match self {
            Self::Q8_0 => 8 * LINE,
            Self::Q4_0 | Self::Q4_1 => 4 * LINE,
            Self::Q4K => 32 * LINE,
            Self::Q6K => 48 * LINE,
        }
    }

    /// Bytes of the factors of one block for all outputs of a panel.
    pub(super) const fn factor_bytes(self) -> usize {
        match self {
            Self::Q8_0 | Self::Q4_0 => 2 * OUTPUTS,
            Self::Q4_1 => 4 * OUTPUTS,
            // d, dmin, eight scales, eight minima.
            Self::Q4K => 20 * OUTPUTS,
            // d, sixteen scales.
            Self::Q6K => 18 * OUTPUTS,
        }
    }
}

/// Weight `[depth, width]` in panels of [`OUTPUTS`] outputs. A panel is a sequence of blocks of
/// inputs; a block is a sequence of lines with a word of [`IN_WORD`] inputs for each output.
/// Factors are stored separately.
///
/// The size equals that of the file's blocks, plus 3 % for `Q4_K`.
#[derive(Debug)]
pub(crate) struct Panels {
    pub(super) panel_type: PanelType,
    pub(super) depth: usize,
    pub(super) width: usize,
    values: Aligned,
    factors: Aligned,
}

impl Panels {
    /// Repacks blocks, fetched in parts. Formats without panels are rounded to `Q8_0`, which is
    /// logged.
    ///
    /// # Errors
    /// When rows cannot be fetched.
    pub(crate) fn new<R: BlockRows>(blocks: &R) -> Result<Self, R::Error> {
        let block_type = blocks.block_type();
        let Some(panel_type) = PanelType::of(block_type) else {
            log::warn!("{block_type} weights are converted to Q8_0, which takes more memory");
            let values = blocks.collect()?.dequantize();
            let rounded = Blocks::quantize(BlockType::Q8_0, blocks.dims(), &values);
            let Ok(panels) = Self::new(&rounded.expect("rows of whole blocks of 32"));
            return Ok(panels);
        };
        let [width, depth] = blocks.dims();
        let count = depth / panel_type.inputs();
        let panels = width.div_ceil(OUTPUTS);
        let (values, factors) = (
            count * panel_type.value_bytes(),
            count * panel_type.factor_bytes(),
        );
        let mut packed = Self {
            panel_type,
            depth,
            width,
            values: Aligned::zeros(panels * values),
            factors: Aligned::zeros(panels * factors),
        };
        if count == 0 {
            return Ok(packed);
        }
        let row = blocks.row_bytes();
        // Every thread gets some, and heads of queries, whose rows are reordered, stay whole.
        let share = panels.div_ceil(rayon::current_num_threads());
        let together = (PART / (OUTPUTS * row)).min(share).max(8);
        (packed.values.bytes_mut().par_chunks_mut(together * values))
            .zip((packed.factors.bytes_mut()).par_chunks_mut(together * factors))
            .enumerate()
            .try_for_each(|(part, (all_values, all_factors))| {
                let first = part * together * OUTPUTS;
                let rows = blocks.fetch(first..width.min(first + together * OUTPUTS))?;
                let rows = rows.chunks(OUTPUTS * row);
                let panels = all_values.chunks_mut(values);
                let panels = panels.zip(all_factors.chunks_mut(factors));
                for (rows, (values, factors)) in rows.zip(panels) {
                    let rows = PanelRows {
                        bytes: rows,
                        row,
                        block: block_type.bytes(),
                    };
                    pack(block_type, panel_type, rows, values, factors);
                }
                Ok::<(), R::Error>(())
            })?;
        Ok(packed)
    }

    /// Blocks of a panel: their values and factors.
    pub(super) fn panel(&self, index: usize) -> (&[u8], &[u8]) {
        let count = self.depth / self.panel_type.inputs();
        let values = count * self.panel_type.value_bytes();
        let factors = count * self.panel_type.factor_bytes();
        (
            &self.values.bytes()[index * values..][..values],
            &self.factors.bytes()[index * factors..][..factors],
        )
    }

    /// `[depth, width]`
    pub(crate) fn dims(&self) -> [usize; 2] {
        [self.depth, self.width]
    }

    /// Format of the same values in blocks.
    pub(crate) fn block_type(&self) -> BlockType {
        self.panel_type.block_type()
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.values.bytes().len() + self.factors.bytes().len()
    }

    /// Restores the blocks, `[width, depth]`: byte for byte those that were repacked, except for
    /// converted formats.
    pub(crate) fn to_blocks(&self) -> Blocks<'static> {
        let block_type = self.block_type();
        let count = self.depth / self.panel_type.inputs();
        let mut bytes = vec![0; self.width * count * block_type.bytes()];
        let rows = bytes.par_chunks_mut((count * block_type.bytes()).max(1));
        rows.enumerate().for_each(|(row, bytes)| {
            let (values, factors) = self.panel(row / OUTPUTS);
            let values = values.chunks_exact(self.panel_type.value_bytes());
            let factors = factors.chunks_exact(self.panel_type.factor_bytes());
            let blocks = bytes.chunks_exact_mut(block_type.bytes());
            for ((values, factors), block) in values.zip(factors).zip(blocks) {
                unpack(self.panel_type, values, factors, row % OUTPUTS, block);
            }
        });
        let blocks = Blocks::new(block_type, [self.width, self.depth], bytes);
        blocks.expect("rows of whole blocks")
    }

    /// Values of one output, `[depth]`.
    pub(crate) fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.width && out.len() == self.depth);
        let (values, factors) = self.panel(row / OUTPUTS);
        let output = row % OUTPUTS;
        let block_type = self.block_type();
        let values = values.chunks_exact(self.panel_type.value_bytes());
        let factors = factors.chunks_exact(self.panel_type.factor_bytes());
        let blocks = out.chunks_exact_mut(self.panel_type.inputs());
        let mut block = vec![0; block_type.bytes()];
        for ((values, factors), out) in values.zip(factors).zip(blocks) {
            unpack(self.panel_type, values, factors, output, &mut block);
            dequantize(block_type, &block, out);
        }
    }
}

/// Rows of blocks that become a panel.
#[derive(Clone, Copy)]
struct PanelRows<'a> {
    /// At most [`OUTPUTS`] rows.
    bytes: &'a [u8],
    /// Bytes of a row.
    row: usize,
    /// Bytes of a block.
    block: usize,
}

impl PanelRows<'_> {
    /// Calls `pack` with each block, its output, and the places of its values and factors.
    #[inline(always)]
    fn each(
        self,
        panel: PanelType,
        values: &mut [u8],
        factors: &mut [u8],
        pack: impl Fn(&[u8], usize, &mut [u8], &mut [u8]),
    ) {
        let values = values.chunks_exact_mut(panel.value_bytes());
        let factors = factors.chunks_exact_mut(panel.factor_bytes());
        for (index, (values, factors)) in values.zip(factors).enumerate() {
            for (output, row) in self.bytes.chunks_exact(self.row).enumerate() {
                pack(
                    &row[index * self.block..][..self.block],
                    output,
                    values,
                    factors,
                );
            }
        }
    }
}

/// Writes the blocks of a panel's outputs to their places.
fn pack(
    block_type: BlockType,
    panel: PanelType,
    rows: PanelRows<'_>,
    values: &mut [u8],
    factors: &mut [u8],
) {
    match block_type {
        BlockType::Q8_0 => rows.each(panel, values, factors, |block, output, values, factors| {
            put(factors, output, 2, &block[..2]);
            let unsigned: [u8; 32] = core::array::from_fn(|i| block[2 + i] ^ 0x80);
            put_words(values, output, &unsigned);
        }),
        BlockType::Q5_0 => rows.each(panel, values, factors, |block, output, values, factors| {
            put(factors, output, 2, &block[..2]);
            let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
            let unsigned: [u8; 32] = core::array::from_fn(|i| {
                let low = block[6 + i % 16] >> (4 * (i / 16)) & 15;
                128 - 16 + (low | ((high >> i & 1) << 4) as u8)
            });
            put_words(values, output, &unsigned);
        }),
        BlockType::Q4_0 => rows.each(panel, values, factors, |block, output, values, factors| {
            put(factors, output, 2, &block[..2]);
            put_words(values, output, &block[2..]);
        }),
        BlockType::Q4_1 => rows.each(panel, values, factors, |block, output, values, factors| {
            put(factors, output, 2, &block[..2]);
            put(&mut factors[2 * OUTPUTS..], output, 2, &block[2..4]);
            put_words(values, output, &block[4..]);
        }),
        BlockType::Q4K => rows.each(panel, values, factors, |block, output, values, factors| {
            put(factors, output, 2, &block[..2]);
            put(&mut factors[2 * OUTPUTS..], output, 2, &block[2..4]);
            let [scales, minima] = unpack_k_scales(block[4..16].try_into().expect("twelve"));
            for (i, (&scale, &minimum)) in scales.iter().zip(&minima).enumerate() {
                factors[(4 + i) * OUTPUTS + output] = scale;
                factors[(12 + i) * OUTPUTS + output] = minimum;
            }
            put_words(values, output, &block[16..]);
        }),
        _ => rows.each(panel, values, factors, |block, output, values, factors| {
            put(factors, output, 2, &block[208..]);
            for (i, &scale) in block[192..208].iter().enumerate() {
                factors[(2 + i) * OUTPUTS + output] = scale;
            }
            // Each half of a block: its low bits, then its high bits.
            for half in 0..2 {
                let values = &mut values[half * 24 * LINE..];
                put_words(values, output, &block[64 * half..][..64]);
                put_words(
                    &mut values[16 * LINE..],
                    output,
                    &block[128 + 32 * half..][..32],
                );
            }
        }),
    }
}

/// Reads the block of one output from a panel; inverse of [`pack`].
fn unpack(panel: PanelType, values: &[u8], factors: &[u8], output: usize, block: &mut [u8]) {
    let (two, second) = (2 * output, 2 * OUTPUTS + 2 * output);
    match panel {
        PanelType::Q8_0 => {
            block[..2].copy_from_slice(&factors[two..][..2]);
            get_words(values, output, &mut block[2..]);
            block[2..].iter_mut().for_each(|value| *value ^= 0x80);
        }
        PanelType::Q4_0 => {
            block[..2].copy_from_slice(&factors[two..][..2]);
            get_words(values, output, &mut block[2..]);
        }
        PanelType::Q4_1 => {
            block[..2].copy_from_slice(&factors[two..][..2]);
            block[2..4].copy_from_slice(&factors[second..][..2]);
            get_words(values, output, &mut block[4..]);
        }
        PanelType::Q4K => {
            block[..2].copy_from_slice(&factors[two..][..2]);
            block[2..4].copy_from_slice(&factors[second..][..2]);
            let of =
                |first: usize| core::array::from_fn(|i| factors[(first + i) * OUTPUTS + output]);
            block[4..16].copy_from_slice(&pack_k_scales(&[of(4), of(12)]));
            get_words(values, output, &mut block[16..]);
        }
        PanelType::Q6K => {
            block[208..].copy_from_slice(&factors[two..][..2]);
            for (i, scale) in block[192..208].iter_mut().enumerate() {
                *scale = factors[(2 + i) * OUTPUTS + output];
            }
            for half in 0..2 {
                let values = &values[half * 24 * LINE..];
                get_words(values, output, &mut block[64 * half..][..64]);
                get_words(
                    &values[16 * LINE..],
                    output,
                    &mut block[128 + 32 * half..][..32],
                );
            }
        }
    }
}

/// Writes the part of one output into a sequence of equal parts.
fn put(all: &mut [u8], output: usize, size: usize, part: &[u8]) {
    all[output * size..][..size].copy_from_slice(part);
}

/// Writes words of one output, one to each line.
fn put_words(lines: &mut [u8], output: usize, bytes: &[u8]) {
    let at = output % OUTPUTS * IN_WORD;
    let lines = lines.as_chunks_mut::<LINE>().0.iter_mut();
    for (line, word) in lines.zip(bytes.as_chunks::<IN_WORD>().0) {
        line[at..][..IN_WORD].copy_from_slice(word);
    }
}

/// Reads words of one output, one of each line.
fn get_words(lines: &[u8], output: usize, bytes: &mut [u8]) {
    let at = output % OUTPUTS * IN_WORD;
    let words = bytes.as_chunks_mut::<IN_WORD>().0.iter_mut();
    for (line, word) in lines.as_chunks::<LINE>().0.iter().zip(words) {
        word.copy_from_slice(&line[at..][..IN_WORD]);
    }
}

/// Reads a half-precision factor.
#[inline(always)]
pub(super) fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}
