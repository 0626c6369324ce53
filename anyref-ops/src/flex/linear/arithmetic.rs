//! Arithmetic for products of many rows and a panel of weights.

use super::super::pack::{interleave, pack_rows, pack_transposed};
use super::super::product::{Matrix, Product, product, product_of_rows};
use super::blocks::{BLOCK, Blocks};
use super::scratch::{Scratch, Word};
use super::stored::{Stored, widen};
use super::weight::{Order, Weight};

/// Packing of inputs and weights of type `H` into 32-bit words, and their product.
pub(super) trait Arithmetic<H> {
    /// Inputs of a word.
    const INPUTS: usize;
    /// Packed operand of a product.
    type Word: Word + Default;

    /// Returns inputs of a row as words, in `space` if they have to be converted.
    fn words<'a>(inputs: &'a [f32], space: &'a mut [Self::Word]) -> &'a [Self::Word];

    /// Packs weights into panels; `tile` is scratch space large enough for them.
    fn pack_tile(weight: Weight<'_, H>, tile: &mut [Self::Word], panels: &mut [Self::Word]);

    /// `c = a · panels`, or `c += a · panels`.
    fn multiply(blocks: Blocks<'_, Self::Word>);

    /// Prepares rows `[rows, depth]` for [`multiply_rows`](Self::multiply_rows).
    fn prepare(rows: &[f32], depth: usize) -> Scratch<Self::Word>;

    /// `c = rows · panels`, of rows and what [`prepare`](Self::prepare) made of them.
    ///
    /// # Shapes
    /// - rows: `[rows, depth]`
    /// - c: `[rows, width]`, of whole vectors
    fn multiply_rows(
        rows: (&[f32], &[Self::Word]),
        depth: usize,
        panels: &[Self::Word],
        c: &mut [f32],
        width: usize,
    );
}

/// Packs at most [`BLOCK`] rows of inputs: the words of all, interleaved.
///
/// # Shapes
/// - space: `[BLOCK, words]`, for words that have to be converted
/// - out: `[words, BLOCK]`
pub(super) fn pack_block<'a, H, A: Arithmetic<H>>(
    rows: impl Iterator<Item = &'a [f32]>,
    space: &mut [A::Word],
    out: &mut [A::Word],
) {
    let space = space.chunks_exact_mut(out.len() / BLOCK);
    let mut words = space.zip(rows).map(|(space, row)| A::words(row, space));
    let words: [_; BLOCK] = core::array::from_fn(|_| words.next().unwrap_or(&[]));
    interleave(words, out, BLOCK);
}

/// Weights widened to f32, exactly.
pub(super) struct Wide;

impl<H: Stored> Arithmetic<H> for Wide {
    const INPUTS: usize = 1;
    type Word = f32;

    #[inline]
    fn words<'a>(inputs: &'a [f32], _: &'a mut [f32]) -> &'a [f32] {
        inputs
    }

    fn pack_tile(weight: Weight<'_, H>, tile: &mut [f32], panels: &mut [f32]) {
        let Weight { depth, width, .. } = weight;
        let (lines, line) = weight.lines();
        for (index, wide) in (0..lines).zip(tile.chunks_exact_mut(line)) {
            widen(weight.line(index, 0, line), wide);
        }
        match weight.order {
            Order::Inputs => pack_transposed(tile, line, depth, width, panels),
            Order::Outputs => pack_rows(tile, line, depth, width, panels),
        }
    }

    fn multiply(blocks: Blocks<'_, f32>) {
        product(Product {
            rows: blocks.rows(),
            depth: blocks.depth(),
            a: Matrix {
                values: blocks.a,
                row: 1,
                column: BLOCK,
            },
            b: blocks.panels,
            c: blocks.c,
            stride: blocks.stride,
            width: blocks.width,
            accumulate: blocks.accumulate,
        });
    }

    /// Rows are read where they lie.
    fn prepare(_: &[f32], _: usize) -> Scratch<f32> {
        Scratch::new(0)
    }

    fn multiply_rows(
        (rows, _): (&[f32], &[f32]),
        depth: usize,
        panels: &[f32],
        c: &mut [f32],
        width: usize,
    ) {
        product_of_rows(rows, depth, panels, c, width);
    }
}

/// Weights of f32, packed without a copy.
pub(super) struct Straight;

impl Arithmetic<f32> for Straight {
    const INPUTS: usize = 1;
    type Word = f32;

    #[inline]
    fn words<'a>(inputs: &'a [f32], _: &'a mut [f32]) -> &'a [f32] {
        inputs
    }

    fn pack_tile(weight: Weight<'_, f32>, _: &mut [f32], panels: &mut [f32]) {
        let Weight { depth, width, .. } = weight;
        let (values, stride) = weight.values();
        match weight.order {
            Order::Inputs => pack_transposed(values, stride, depth, width, panels),
            Order::Outputs => pack_rows(values, stride, depth, width, panels),
        }
    }

    fn multiply(blocks: Blocks<'_, f32>) {
        <Wide as Arithmetic<f32>>::multiply(blocks);
    }

    fn prepare(rows: &[f32], depth: usize) -> Scratch<f32> {
        <Wide as Arithmetic<f32>>::prepare(rows, depth)
    }

    fn multiply_rows(
        rows: (&[f32], &[f32]),
        depth: usize,
        panels: &[f32],
        c: &mut [f32],
        width: usize,
    ) {
        <Wide as Arithmetic<f32>>::multiply_rows(rows, depth, panels, c, width);
    }
}

/// Inputs rounded to bf16 and multiplied with bf16 weights in pairs, as in PyTorch's bf16
/// arithmetic.
#[cfg(target_arch = "x86_64")]
pub(super) struct Pairs;

#[cfg(target_arch = "x86_64")]
impl Arithmetic<burn::tensor::bf16> for Pairs {
    const INPUTS: usize = 2;
    type Word = super::bf16_dot::Pair;

    #[inline]
    fn words<'a>(inputs: &'a [f32], space: &'a mut [u32]) -> &'a [u32] {
        let pairs = &mut space[..inputs.len().div_ceil(2)];
        super::bf16_dot::round(inputs, pairs);
        pairs
    }

    fn pack_tile(weight: Weight<'_, burn::tensor::bf16>, tile: &mut [u32], panels: &mut [u32]) {
        use super::bf16_dot::{as_floats, as_floats_mut, of};
        let Weight { depth, width, .. } = weight;
        let (lines, line) = weight.lines();
        let pairs = depth.div_ceil(2);
        match weight.order {
            Order::Inputs if let Some((values, stride)) = weight.pairs() => {
                pack_transposed(values, stride, pairs, width, as_floats_mut(panels));
            }
            Order::Inputs => {
                for (index, tile) in (0..lines).zip(tile.chunks_exact_mut(pairs)) {
                    let (whole, rest) = weight.line(index, 0, line).as_chunks::<2>();
                    for (out, &[low, high]) in tile.iter_mut().zip(whole) {
                        *out = of(low, high);
                    }
                    if let [last] = rest {
                        tile[pairs - 1] = of(*last, Default::default());
                    }
                }
                let panels = as_floats_mut(panels);
                pack_transposed(as_floats(tile), pairs, pairs, width, panels);
            }
            Order::Outputs => {
                for (pair, tile) in (0..pairs).zip(tile.chunks_exact_mut(width)) {
                    let low = weight.line(2 * pair, 0, line);
                    if 2 * pair + 1 < lines {
                        let high = weight.line(2 * pair + 1, 0, line);
                        for (out, (&low, &high)) in tile.iter_mut().zip(low.iter().zip(high)) {
                            *out = of(low, high);
                        }
                    } else {
                        for (out, &low) in tile.iter_mut().zip(low) {
                            *out = of(low, Default::default());
                        }
                    }
                }
                let panels = as_floats_mut(panels);
                pack_rows(as_floats(tile), width, pairs, width, panels);
            }
        }
    }

    fn multiply(blocks: Blocks<'_, u32>) {
        super::bf16_dot::product(blocks);
    }

    fn prepare(rows: &[f32], depth: usize) -> Scratch<u32> {
        let (count, words) = (rows.len() / depth, depth.div_ceil(2));
        let mut prepared = Scratch::new(count.next_multiple_of(BLOCK) * words);
        let mut space = Scratch::new(BLOCK * words);
        let blocks = rows.chunks(BLOCK * depth);
        for (rows, out) in blocks.zip(prepared.chunks_exact_mut(BLOCK * words)) {
            pack_block::<_, Self>(rows.chunks_exact(depth), &mut space, out);
        }
        prepared
    }

    fn multiply_rows(
        (_, prepared): (&[f32], &[u32]),
        depth: usize,
        panels: &[u32],
        c: &mut [f32],
        width: usize,
    ) {
        let blocks = prepared.chunks_exact(BLOCK * depth.div_ceil(2));
        for (a, c) in blocks.zip(c.chunks_mut(BLOCK * width)) {
            <Self as Arithmetic<burn::tensor::bf16>>::multiply(Blocks {
                a,
                panels,
                c,
                stride: width,
                width,
                accumulate: false,
            });
        }
    }
}
