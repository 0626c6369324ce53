//! Products of many rows and few weights, all of which fit a core's cache: some rows at a time are
//! normalised and given their positions there, and multiplied with all weights.

use rayon::prelude::*;

use super::super::activation::activate;
use super::super::norm::LayerNormValues;
use super::super::product::{PAD, packed_len, panel_width};
use super::super::simd::{Kernel, Simd, dispatch};
use super::arithmetic::Arithmetic;
use super::ending::Ending;
use super::output::Output;
use super::scratch::Scratch;
use super::weight::Weight;

/// Most inputs, those that are multiplied before sums leave the registers.
const DEPTH: usize = 256;
/// Most outputs.
const WIDTH: usize = 256;
/// Fewest rows.
const ROWS: usize = 256;
/// Rows of a task.
const TOGETHER: usize = 96;

/// Returns whether there are as many rows as this form is for.
pub(super) fn are_many(rows: usize) -> bool {
    rows >= ROWS
}

/// Returns whether a product has the sizes for this form.
pub(super) fn fits(rows: usize, depth: usize, width: usize) -> bool {
    are_many(rows) && depth <= DEPTH && width <= WIDTH && width.is_multiple_of(PAD)
}

/// Rows of products, and what precedes these.
pub(super) struct Rows<'a> {
    /// `[rows, depth]`
    pub(super) x: &'a [f32],
    /// Inputs of a row.
    pub(super) depth: usize,
    /// Norm of the rows, and the place that normalised rows are kept in.
    pub(super) norm: Option<(&'a LayerNormValues, Output<'a>)>,
    /// Summands of the rows, `[period, depth]`, which repeat.
    pub(super) places: Option<&'a [f32]>,
}

/// Product of rows and a weight.
pub(super) struct NarrowProduct<'a, H> {
    pub(super) weight: Weight<'a, H>,
    pub(super) ending: Ending<'a>,
    /// Multiplies the rows with their positions instead of the rows alone.
    pub(super) placed: bool,
    /// Summands of the output, `[period, width]`, which repeat.
    pub(super) added: Option<&'a [f32]>,
    pub(super) out: Output<'a>,
}

/// Computes `out[r, n] = ending(Σ x[r, k] · weight[k, n])` of sizes that [fit](fits),
/// and writes all of `out`, with the sums of [`tiles`](super::tiles).
pub(super) fn product<H: Send + Sync + Copy, A: Arithmetic<H>>(
    x: &[f32],
    weight: Weight<'_, H>,
    ending: Ending<'_>,
    out: Output<'_>,
) {
    let rows = Rows {
        x,
        depth: weight.depth,
        norm: None,
        places: None,
    };
    let product = NarrowProduct {
        weight,
        ending,
        placed: false,
        added: None,
        out,
    };
    products::<H, A>(&rows, &[product]);
}

/// Computes several products of the same rows, of sizes that [fit](fits), and writes all of their
/// outputs and of the normalised rows.
///
/// # Panics
/// When a product reads positions that are absent.
pub(super) fn products<H: Send + Sync + Copy, A: Arithmetic<H>>(
    rows: &Rows<'_>,
    products: &[NarrowProduct<'_, H>],
) {
    let packed: Vec<_> = products
        .iter()
        .map(|product| pack::<H, A>(product.weight))
        .collect();
    let depth = rows.depth;
    let chunks = rows.x.par_chunks(TOGETHER * depth).enumerate();
    chunks.for_each(|(index, x)| {
        let (first, count) = (index * TOGETHER, x.len() / depth);
        let mut normed = Scratch::<f32>::new(if rows.norm.is_some() { x.len() } else { 0 });
        let x = match &rows.norm {
            Some((norm, out)) => {
                dispatch(Norm {
                    norm,
                    x,
                    normed: &mut normed,
                    out,
                    first,
                });
                &normed
            }
            None => x,
        };
        let mut placed = Scratch::<f32>::new(if rows.places.is_some() { x.len() } else { 0 });
        if let Some(places) = rows.places {
            dispatch(Place {
                x,
                places,
                depth,
                first,
                placed: &mut placed,
            });
        }
        let mut sums = Scratch::<f32>::new(count * WIDTH);
        // Rows of either kind are prepared once for all products that read them.
        for (kind, x) in [(false, x), (true, &placed)] {
            let all = products.iter().zip(&packed);
            let mut prepared = None;
            for (product, panels) in all.filter(|(product, _)| product.placed == kind) {
                assert_eq!(x.len(), count * depth, "the rows have positions");
                let width = product.weight.width;
                let sums = &mut sums[..count * width];
                let words = prepared.get_or_insert_with(|| A::prepare(x, depth));
                A::multiply_rows((x, words), depth, panels, sums, width);
                dispatch(Finish {
                    sums,
                    first,
                    product,
                });
            }
        }
    });
}

/// Packs a weight into panels, which all threads do.
fn pack<H: Send + Sync + Copy, A: Arithmetic<H>>(weight: Weight<'_, H>) -> Scratch<A::Word> {
    let Weight { depth, width, .. } = weight;
    let words = depth.div_ceil(A::INPUTS);
    let mut packed = Scratch::new(packed_len(words, width));
    let panel = panel_width();
    let panels = packed.par_chunks_mut(words * panel).enumerate();
    panels.for_each(|(index, packed)| {
        let outputs = index * panel..width.min((index + 1) * panel);
        let mut tile = Scratch::new(words * A::INPUTS * outputs.len());
        A::pack_tile(weight.part(0..depth, outputs), &mut tile, packed);
    });
    packed
}

/// Normalises rows, and writes them to their place too.
struct Norm<'a> {
    norm: &'a LayerNormValues,
    x: &'a [f32],
    normed: &'a mut [f32],
    out: &'a Output<'a>,
    /// Number of the first row.
    first: usize,
}

impl Kernel for Norm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        self.norm.normalise::<S>(self.x, self.normed);
        let width = self.out.width();
        let rows = self.first..self.first + self.x.len() / width;
        let out = self.out.part(rows, 0..width);
        // SAFETY: the rows are the task's alone.
        unsafe { out.copy_from_nonoverlapping(self.normed.as_ptr(), self.normed.len()) };
    }
}

/// Adds positions to rows.
struct Place<'a> {
    x: &'a [f32],
    /// `[period, depth]`
    places: &'a [f32],
    depth: usize,
    /// Number of the first row.
    first: usize,
    placed: &'a mut [f32],
}

impl Kernel for Place<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (depth, period) = (self.depth, self.places.len() / self.depth);
        let rows = self.placed.chunks_exact_mut(depth);
        let rows = rows.zip(self.x.chunks_exact(depth)).enumerate();
        for (row, (placed, x)) in rows {
            let places = &self.places[(self.first + row) % period * depth..][..depth];
            let whole = depth - depth % S::LANES;
            for at in (0..whole).step_by(S::LANES) {
                // SAFETY: all rows have `depth` values.
                unsafe {
                    let place = S::load(places.as_ptr().add(at));
                    let sum = S::add(S::load(x.as_ptr().add(at)), place);
                    S::store(placed.as_mut_ptr().add(at), sum);
                }
            }
            for at in whole..depth {
                placed[at] = x[at] + places[at];
            }
        }
    }
}

/// Finishes the sums of some rows and writes them out.
struct Finish<'a, H> {
    /// `[rows, width]`
    sums: &'a mut [f32],
    /// Number of the first row.
    first: usize,
    product: &'a NarrowProduct<'a, H>,
}

impl<H> Kernel for Finish<'_, H> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let NarrowProduct {
            weight: Weight { width, .. },
            ref ending,
            added,
            ref out,
            ..
        } = *self.product;
        let rows = self.sums.len() / width;
        let out = out.part(self.first..self.first + rows, 0..width);
        let mut bias = ending.bias.map(|bias| bias[..width].as_ptr());
        if let Some(activation) = ending.activation {
            if let Some(bias) = bias.take() {
                for row in self.sums.chunks_exact_mut(width) {
                    let out = row.as_mut_ptr();
                    // SAFETY: rows and the bias have `width` values.
                    unsafe { write_sum::<S>(row, [Some(bias), None], out) };
                }
            }
            activate::<S>(activation, self.sums);
        }
        for (row, sums) in self.sums.chunks_exact(width).enumerate() {
            let added = added.map(|added| {
                let period = added.len() / width;
                let row = (self.first + row) % period;
                added[row * width..][..width].as_ptr()
            });
            // SAFETY: the rows are the task's alone, and all have `width` values.
            unsafe { write_sum::<S>(sums, [bias, added], out.add(row * width)) };
        }
    }
}

/// Writes a row of whole vectors with some addends.
///
/// # Safety
/// All pointers are to as many values as the row has.
#[inline(always)]
unsafe fn write_sum<S: Simd>(row: &[f32], addends: [Option<*const f32>; 2], out: *mut f32) {
    // SAFETY: the caller's, here and below.
    unsafe {
        match addends {
            [None, None] => write_row::<S, 0>(row, [], out),
            [Some(one), None] | [None, Some(one)] => write_row::<S, 1>(row, [one], out),
            [Some(one), Some(other)] => write_row::<S, 2>(row, [one, other], out),
        }
    }
}

/// Writes a row with `N` addends.
///
/// # Safety
/// Requirements are those of [`write_sum`].
#[inline(always)]
unsafe fn write_row<S: Simd, const N: usize>(row: &[f32], addends: [*const f32; N], out: *mut f32) {
    for at in (0..row.len()).step_by(S::LANES) {
        // SAFETY: the caller's, and widths are multiples of `PAD`.
        unsafe {
            let mut sum = S::load(row.as_ptr().add(at));
            for addend in addends {
                sum = S::add(sum, S::load(addend.add(at)));
            }
            S::store(out.add(at), sum);
        }
    }
}
