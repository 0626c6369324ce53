//! Products of a few rows with a panel of outputs, on each instruction set.

use super::matrix::{IN_WORD, LINE, OFFSET, PANEL};
use super::rows::{BLOCK, RowBlock};

/// Vectors of outputs that a row is multiplied with at once.
const VECTORS: usize = 2;

/// Instruction set with vectors of four-byte words, each with inputs of one output.
///
/// # Safety
/// The methods may only be called on a machine that has the instructions, with pointers valid for
/// as many bytes as a vector holds.
pub(super) unsafe trait Form: Copy + 'static {
    /// Outputs of a vector, of which [`VECTORS`] divide a panel.
    const OUTPUTS: usize;
    /// Rows whose sums fit the registers, a divisor of [`BLOCK`].
    const ROWS: usize;
    /// Multiplies weights with their offset, which the start of a sum undoes.
    const OFFSET: bool;
    /// Weights of a word for each output.
    type Weights: Copy;
    /// Word of inputs, repeated for each output.
    type Input: Copy;
    /// Sum for each output.
    type Sums: Copy;

    /// Loads weights.
    unsafe fn weights(p: *const u8) -> Self::Weights;
    /// Loads a word of inputs.
    unsafe fn input(p: *const u32) -> Self::Input;
    /// All sums `x`.
    unsafe fn start(x: i32) -> Self::Sums;
    /// `sums + weights · input`
    unsafe fn dot(sums: Self::Sums, weights: Self::Weights, input: Self::Input) -> Self::Sums;
    /// `out = sums · scale · scales + bias`, each step rounded by itself.
    unsafe fn finish(
        sums: Self::Sums,
        scale: f32,
        scales: *const f32,
        bias: *const f32,
        out: *mut f32,
    );
}

/// Panel of outputs.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    /// `[words, LINE]`
    pub(super) bytes: &'a [u8],
    pub(super) scales: &'a [f32; PANEL],
    pub(super) bias: &'a [f32; PANEL],
}

/// Writes the products of a block of rows and a panel, `[rows, PANEL]` with rows `stride` apart.
///
/// # Safety
/// The machine has the instructions of the form, and all of the output is in bounds.
#[inline(always)]
pub(super) unsafe fn product<F: Form>(
    rows: RowBlock<'_>,
    panel: Panel<'_>,
    out: *mut f32,
    stride: usize,
) {
    let count = rows.factors.len();
    assert!(count <= BLOCK);
    assert_eq!(rows.values.len() / BLOCK, panel.bytes.len() / LINE);
    for first in (0..count).step_by(F::ROWS) {
        for column in (0..PANEL).step_by(VECTORS * F::OUTPUTS) {
            macro_rules! by_rows {
                ($($n:literal)*) => {
                    match F::ROWS.min(count - first) {
                        // SAFETY: the sizes were compared above.
                        $($n => unsafe {
                            let out = out.add(first * stride + column);
                            tile::<F, $n>(rows, first, panel, column, out, stride);
                        },)*
                        _ => unreachable!("a tile has at most {BLOCK} rows"),
                    }
                };
            }
            by_rows!(1 2 3 4 5 6 7 8 9 10 11 12);
        }
    }
}

/// Multiplies `R` rows from `first` on with the outputs from `column` on.
///
/// # Safety
/// As [`product`]'s.
#[inline(always)]
unsafe fn tile<F: Form, const R: usize>(
    rows: RowBlock<'_>,
    first: usize,
    panel: Panel<'_>,
    column: usize,
    out: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[F::start(0); VECTORS]; R];
        if F::OFFSET {
            for (sums, factors) in sums.iter_mut().zip(&rows.factors[first..]) {
                *sums = [F::start(factors.start); VECTORS];
            }
        }
        let mut inputs = rows.values.as_ptr().add(first);
        let mut weights = panel.bytes.as_ptr().add(column * IN_WORD);
        for _ in 0..panel.bytes.len() / LINE {
            let mut vectors = [F::weights(weights); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate().skip(1) {
                *vector = F::weights(weights.add(v * F::OUTPUTS * IN_WORD));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let input = F::input(inputs.add(r));
                for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                    *sum = F::dot(*sum, vector, input);
                }
            }
            inputs = inputs.add(BLOCK);
            weights = weights.add(LINE);
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let scale = rows.factors[first + r].scale;
            for (v, sum) in sums.into_iter().enumerate() {
                let at = column + v * F::OUTPUTS;
                F::finish(
                    sum,
                    scale,
                    panel.scales.as_ptr().add(at),
                    panel.bias.as_ptr().add(at),
                    out.add(r * stride + v * F::OUTPUTS),
                );
            }
        }
    }
}

/// Vectors of the baseline, as the compiler sees fit.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// Outputs of a portable vector.
const LANES: usize = 8;

// SAFETY: no instruction beyond the baseline is used.
unsafe impl Form for Portable {
    const OUTPUTS: usize = LANES;
    const ROWS: usize = 2;
    const OFFSET: bool = false;
    type Weights = [[i16; IN_WORD]; LANES];
    type Input = [i16; IN_WORD];
    type Sums = [i32; LANES];

    #[inline(always)]
    unsafe fn weights(p: *const u8) -> Self::Weights {
        // SAFETY: the caller's, here and below.
        let bytes = unsafe { p.cast::<[[u8; IN_WORD]; LANES]>().read_unaligned() };
        bytes.map(|word| word.map(|byte| i16::from((byte ^ OFFSET) as i8)))
    }
    #[inline(always)]
    unsafe fn input(p: *const u32) -> Self::Input {
        let word = unsafe { *p };
        word.to_le_bytes().map(|byte| i16::from(byte as i8))
    }
    #[inline(always)]
    unsafe fn start(x: i32) -> Self::Sums {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn dot(mut sums: Self::Sums, weights: Self::Weights, input: Self::Input) -> Self::Sums {
        for (sum, weights) in sums.iter_mut().zip(&weights) {
            let products = weights.iter().zip(&input);
            let products = products.map(|(&w, &x)| i32::from(w) * i32::from(x));
            *sum += products.sum::<i32>();
        }
        sums
    }
    #[inline(always)]
    unsafe fn finish(
        sums: Self::Sums,
        scale: f32,
        scales: *const f32,
        bias: *const f32,
        out: *mut f32,
    ) {
        for (i, sum) in sums.into_iter().enumerate() {
            unsafe { *out.add(i) = sum as f32 * scale * *scales.add(i) + *bias.add(i) }
        }
    }
}
