//! Product of a tile of rows and a panel of outputs.

use super::form::Form;
use super::panels::{OUTPUTS, PanelType};
use super::rows::{Factors, GROUP, Tile, Values};

/// Maximum rows of a tile that are multiplied at once.
pub(super) const ROWS: usize = 8;
/// Bytes of a line: one word for each output.
const LINE: usize = 4 * OUTPUTS;
/// Bytes of values between those that are multiplied and those that are asked for.
const AHEAD: usize = 8192;

/// Rows of one tile, from a group on.
#[derive(Clone, Copy)]
struct Inputs {
    values: *const Values,
    factors: *const Factors,
    /// Rows of the tile.
    stride: usize,
}

impl Inputs {
    /// Rows from group `index` on.
    #[inline(always)]
    unsafe fn group(self, index: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            Self {
                values: self.values.add(index * self.stride),
                factors: self.factors.add(index * self.stride),
                ..self
            }
        }
    }
}

/// Writes the products of `tile` and a panel to `out`, `[tile.count, OUTPUTS]`.
///
/// # Safety
/// The machine has the instructions of the form.
#[inline(always)]
pub(super) unsafe fn product<F: Form>(
    panel_type: PanelType,
    panel: (&[u8], &[u8]),
    tile: Tile<'_>,
    out: &mut [f32],
) {
    let groups = panel_type.inputs() / GROUP;
    let count = panel.0.len() / panel_type.value_bytes();
    assert_eq!(panel.1.len(), count * panel_type.factor_bytes());
    assert_eq!(tile.values.len(), tile.count * count * groups);
    assert_eq!(tile.values.len(), tile.factors.len());
    assert_eq!(out.len(), tile.count * OUTPUTS);
    // SAFETY: the lengths of all slices that are read were compared above.
    unsafe {
        match panel_type {
            PanelType::Q8_0 => rows::<F, Q8_0>(count, panel, tile, out),
            PanelType::Q4_0 => rows::<F, Nibbles<false>>(count, panel, tile, out),
            PanelType::Q4_1 => rows::<F, Nibbles<true>>(count, panel, tile, out),
            PanelType::Q4K => rows::<F, Q4K>(count, panel, tile, out),
            PanelType::Q6K => rows::<F, Q6K>(count, panel, tile, out),
        }
    }
}

#[inline(always)]
unsafe fn rows<F: Form, T: Format>(
    count: usize,
    panel: (&[u8], &[u8]),
    tile: Tile<'_>,
    out: &mut [f32],
) {
    let mut row = 0;
    while row < tile.count {
        // SAFETY: the caller's.
        unsafe {
            let inputs = Inputs {
                values: tile.values.as_ptr().add(row),
                factors: tile.factors.as_ptr().add(row),
                stride: tile.count,
            };
            let out = out.as_mut_ptr().add(row * OUTPUTS);
            row += match tile.count - row {
                ROWS.. => some_rows::<F, T, ROWS>(count, panel, inputs, out),
                4.. => some_rows::<F, T, 4>(count, panel, inputs, out),
                2.. => some_rows::<F, T, 2>(count, panel, inputs, out),
                _ => some_rows::<F, T, 1>(count, panel, inputs, out),
            };
        }
    }
}

/// Multiplies `R` rows; returns `R`.
#[inline(always)]
unsafe fn some_rows<F: Form, T: Format, const R: usize>(
    count: usize,
    (values, factors): (&[u8], &[u8]),
    inputs: Inputs,
    out: *mut f32,
) -> usize {
    for first in (0..OUTPUTS).step_by(F::OUTPUTS) {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [F::splat(0.0); R];
            for block in 0..count {
                let place = Place {
                    values: values
                        .as_ptr()
                        .add(block * T::PANEL.value_bytes() + 4 * first),
                    factors: factors.as_ptr().add(block * T::PANEL.factor_bytes()),
                    first,
                };
                if R == 1 && first == 0 {
                    place.prefetch::<F, T>();
                }
                let inputs = inputs.group(block * (T::PANEL.inputs() / GROUP));
                T::add::<F, R>(place, inputs, &mut sums);
            }
            for (row, sum) in sums.into_iter().enumerate() {
                F::store(out.add(row * OUTPUTS + first), sum);
            }
        }
    }
    R
}

/// Block of a panel, from its output `first` on.
#[derive(Clone, Copy)]
struct Place {
    values: *const u8,
    factors: *const u8,
    first: usize,
}

impl Place {
    /// Asks for the block that follows after [`AHEAD`] bytes of values, in this panel or in those
    /// behind it: a single row waits for memory, and the processor itself stops at pages of 4 KB.
    #[inline(always)]
    unsafe fn prefetch<F: Form, T: Format>(self) {
        let blocks = AHEAD.div_ceil(T::PANEL.value_bytes());
        let lines = |start: *const u8, bytes: usize| {
            let start = start.wrapping_add(blocks * bytes);
            for line in (0..bytes).step_by(LINE) {
                // SAFETY: the caller's.
                unsafe { F::prefetch(start.wrapping_add(line)) };
            }
        };
        lines(self.values, T::PANEL.value_bytes());
        lines(self.factors, T::PANEL.factor_bytes());
    }

    /// Line of values.
    #[inline(always)]
    unsafe fn line<F: Form>(self, index: usize) -> F::Bytes {
        // SAFETY: the caller's, here and below.
        unsafe { F::load(self.values.add(index * LINE)) }
    }

    /// Factors in half precision, `index` bytes of each output from the beginning.
    #[inline(always)]
    unsafe fn halves<F: Form>(self, index: usize) -> F::Floats {
        unsafe { F::halves(self.factors.add(index * OUTPUTS + 2 * self.first)) }
    }

    /// Factors of one byte, `index` bytes of each output from the beginning.
    #[inline(always)]
    unsafe fn byte(self, index: usize) -> *const u8 {
        unsafe { self.factors.add(index * OUTPUTS + self.first) }
    }
}

/// Adds `factor · scale · Σ weights · x`, and `minimum · shift` if given, to the sums of each row.
/// The weights have `N` words, from input `first` of a group on.
#[inline(always)]
unsafe fn add<F: Form, const BITS: u32, const N: usize, const R: usize>(
    weights: &[F::Bytes; N],
    factor: F::Floats,
    minimum: Option<F::Floats>,
    inputs: Inputs,
    half: usize,
    sums: &mut [F::Floats; R],
) {
    for (row, sum) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's.
        unsafe {
            let factors = &*inputs.factors.add(row);
            let x = inputs.values.add(row).cast::<i8>().add(16 * half);
            let start = match BITS == 8 && F::SIGNED {
                true => 0,
                false => factors.starts[half],
            };
            let products = F::floats(F::dot::<BITS, N>(start, weights, x));
            let factor = F::mul(factor, F::splat(factors.scale));
            *sum = F::mul_add(products, factor, *sum);
            if let Some(minimum) = minimum {
                *sum = F::mul_add(minimum, F::splat(factors.shift), *sum);
            }
        }
    }
}

/// Format of panels.
trait Format {
    /// Format of the blocks.
    const PANEL: PanelType;

    /// Adds the products of one block.
    unsafe fn add<F: Form, const R: usize>(place: Place, inputs: Inputs, sums: &mut [F::Floats; R]);
}

struct Q8_0;

impl Format for Q8_0 {
    const PANEL: PanelType = PanelType::Q8_0;

    #[inline(always)]
    unsafe fn add<F: Form, const R: usize>(
        place: Place,
        inputs: Inputs,
        sums: &mut [F::Floats; R],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut weights = [place.line::<F>(0); 8];
            for (index, weight) in weights.iter_mut().enumerate().skip(1) {
                *weight = place.line::<F>(index);
            }
            let d = place.halves::<F>(0);
            add::<F, 8, 8, R>(&weights, d, None, inputs, 0, sums);
        }
    }
}

/// `Q4_0`, or `Q4_1` with minima.
struct Nibbles<const MINIMA: bool>;

impl<const MINIMA: bool> Format for Nibbles<MINIMA> {
    const PANEL: PanelType = match MINIMA {
        true => PanelType::Q4_1,
        false => PanelType::Q4_0,
    };

    #[inline(always)]
    unsafe fn add<F: Form, const R: usize>(
        place: Place,
        inputs: Inputs,
        sums: &mut [F::Floats; R],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut weights = [place.line::<F>(0); 8];
            for index in 0..4 {
                let line = place.line::<F>(index);
                weights[index] = F::low(line);
                weights[index + 4] = F::high(line);
            }
            let d = place.halves::<F>(0);
            let minimum = match MINIMA {
                true => Some(place.halves::<F>(2)),
                false => None,
            };
            add::<F, 4, 8, R>(&weights, d, minimum, inputs, 0, sums);
        }
    }
}

struct Q4K;

impl Format for Q4K {
    const PANEL: PanelType = PanelType::Q4K;

    #[inline(always)]
    unsafe fn add<F: Form, const R: usize>(
        place: Place,
        inputs: Inputs,
        sums: &mut [F::Floats; R],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let (d, dmin) = (place.halves::<F>(0), place.halves::<F>(2));
            for pair in 0..4 {
                let place = Place {
                    values: place.values.add(pair * 8 * LINE),
                    ..place
                };
                for part in 0..2 {
                    let mut weights = [place.line::<F>(0); 8];
                    for (index, weight) in weights.iter_mut().enumerate() {
                        let line = place.line::<F>(index);
                        *weight = match part {
                            0 => F::low(line),
                            _ => F::high(line),
                        };
                    }
                    let group = 2 * pair + part;
                    let scale = F::mul(d, F::unsigned(place.byte(4 + group)));
                    let minimum = F::mul(dmin, F::unsigned(place.byte(12 + group)));
                    let inputs = inputs.group(group);
                    add::<F, 4, 8, R>(&weights, scale, Some(minimum), inputs, 0, sums);
                }
            }
        }
    }
}

struct Q6K;

impl Q6K {
    /// Adds the products of 32 inputs, a quarter of half a block.
    #[inline(always)]
    unsafe fn quarter<F: Form, const SHIFT: u32, const R: usize>(
        place: Place,
        (half, d): (usize, F::Floats),
        inputs: Inputs,
        sums: &mut [F::Floats; R],
    ) {
        let quarter = SHIFT as usize / 2;
        let group = 4 * half + quarter;
        // SAFETY: the caller's.
        unsafe {
            for sixteen in 0..2 {
                let mut weights = [place.line::<F>(0); 4];
                for (index, weight) in weights.iter_mut().enumerate() {
                    let index = 4 * sixteen + index;
                    let line = place.line::<F>(8 * (quarter % 2) + index);
                    let low = match quarter < 2 {
                        true => F::low(line),
                        false => F::high(line),
                    };
                    *weight = F::six::<SHIFT>(low, place.line::<F>(16 + index));
                }
                let scale = F::signed(place.byte(2 + 2 * group + sixteen));
                let factor = F::mul(d, scale);
                let inputs = inputs.group(group);
                add::<F, 6, 4, R>(&weights, factor, None, inputs, sixteen, sums);
            }
        }
    }
}

impl Format for Q6K {
    const PANEL: PanelType = PanelType::Q6K;

    #[inline(always)]
    unsafe fn add<F: Form, const R: usize>(
        place: Place,
        inputs: Inputs,
        sums: &mut [F::Floats; R],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let d = place.halves::<F>(0);
            for half in 0..2 {
                let place = Place {
                    values: place.values.add(half * 24 * LINE),
                    ..place
                };
                Self::quarter::<F, 0, R>(place, (half, d), inputs, sums);
                Self::quarter::<F, 2, R>(place, (half, d), inputs, sums);
                Self::quarter::<F, 4, R>(place, (half, d), inputs, sums);
                Self::quarter::<F, 6, R>(place, (half, d), inputs, sums);
            }
        }
    }
}
