//! Inputs of a product, quantised to eight bits.

use burn::tensor::f16;
use rayon::prelude::*;

use super::super::simd::{Kernel, Simd, dispatch};
use super::panels::PanelType;

/// Inputs of a group with one scale.
pub(super) const GROUP: usize = 32;
/// Rows of a tile, stored together.
pub(super) const TILE: usize = 16;

/// Inputs of a group.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Values(pub(super) [i8; GROUP]);

/// Factors of a group.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Factors {
    /// Size of a step.
    pub(super) scale: f32,
    /// Factor of a block's minimum: the scale times the sum of the steps, negative where minima are
    /// subtracted.
    pub(super) shift: f32,
    /// Initial value of the sum of products for each half, which undoes an offset of the weights.
    pub(super) starts: [i32; 2],
}

/// Rows in tiles; a tile holds each group of all its rows in turn.
#[derive(Debug)]
pub(super) struct Rows {
    values: Vec<Values>,
    factors: Vec<Factors>,
    groups: usize,
}

/// Rows of a tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) values: &'a [Values],
    pub(super) factors: &'a [Factors],
    /// Rows of the tile.
    pub(super) count: usize,
}

impl Rows {
    /// Quantises rows; each group of a row has a step of 1/127 of its largest magnitude.
    ///
    /// # Shapes
    /// - x: `[rows, depth]`; `depth` is a multiple of the group size
    pub(super) fn quantize(x: &[f32], depth: usize, panel: PanelType) -> Self {
        let groups = depth / GROUP;
        let count = x.len() / GROUP;
        let mut values = vec![Values([0; GROUP]); count];
        let mut factors = vec![Factors::default(); count];
        let tile = groups * TILE;
        let tiles = values.chunks_mut(tile).zip(factors.chunks_mut(tile));
        let tiles: Vec<_> = tiles.zip(x.chunks(TILE * depth)).collect();
        let quantize = |((values, factors), x)| {
            dispatch(Quantize {
                x,
                depth,
                panel,
                values,
                factors,
            })
        };
        match tiles.len() {
            1 => tiles.into_iter().for_each(quantize),
            _ => tiles.into_par_iter().for_each(quantize),
        }
        Self {
            values,
            factors,
            groups,
        }
    }

    /// Iterates over the tiles from the first row on.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Tile<'_>> {
        let tile = self.groups * TILE;
        let tiles = self.values.chunks(tile).zip(self.factors.chunks(tile));
        tiles.map(|(values, factors)| Tile {
            values,
            factors,
            count: values.len() / self.groups,
        })
    }
}

/// Rounds the rows of a tile.
struct Quantize<'a> {
    x: &'a [f32],
    depth: usize,
    panel: PanelType,
    values: &'a mut [Values],
    factors: &'a mut [Factors],
}

impl Kernel for Quantize<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let count = self.x.len() / self.depth;
        for (row, x) in self.x.chunks_exact(self.depth).enumerate() {
            for (group, x) in x.as_chunks::<GROUP>().0.iter().enumerate() {
                let at = group * count + row;
                (self.values[at], self.factors[at]) = quantize(x, self.panel);
            }
        }
    }
}

#[inline(always)]
fn quantize(x: &[f32; GROUP], panel: PanelType) -> (Values, Factors) {
    /// `x + MAGIC` has `x`, rounded to nearest even, in its lowest bits.
    const MAGIC: f32 = 12_582_912.0;
    // NaN counts as the largest value.
    let size = |x: f32| x.to_bits() & 0x7fff_ffff;
    let largest = f32::from_bits(x.iter().fold(0, |most, &x| size(x).max(most)));
    let scale = largest / 127.0;
    let steps = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let steps = if steps.is_finite() { steps } else { 0.0 };
    let mut values = [0; GROUP];
    for (value, &x) in values.iter_mut().zip(x) {
        let rounded = (x * steps + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits());
        *value = rounded as i32 as i8;
    }
    let sum = |values: &[i8]| values.iter().map(|&value| i32::from(value)).sum::<i32>();
    let halves = [sum(&values[..16]), sum(&values[16..])];
    let total = halves[0] + halves[1];
    let shifted = scale * total as f32;
    let (scale, shift, starts) = match panel {
        PanelType::Q8_0 => (as_half(scale), 0.0, [-128 * total, 0]),
        PanelType::Q4_0 => (as_half(scale), 0.0, [-8 * total, 0]),
        PanelType::Q4_1 => (as_half(scale), as_half(shifted), [0; 2]),
        PanelType::Q4K => (scale, -shifted, [0; 2]),
        PanelType::Q6K => (scale, 0.0, halves.map(|half| -32 * half)),
    };
    let factors = Factors {
        scale,
        shift,
        starts,
    };
    (Values(values), factors)
}

/// Rounds a factor to half precision, as llama.cpp stores those of these formats, so that results
/// match; returns it unchanged where half precision cannot hold it.
#[inline(always)]
fn as_half(factor: f32) -> f32 {
    let half = f16::from_f32(factor);
    if half.is_normal() {
        half.to_f32()
    } else {
        factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_rounded_to_the_127th_part_of_their_largest() {
        let mut x: [f32; GROUP] = core::array::from_fn(|i| (i as f32 - 11.3) * 0.17);
        for (panel, allowed) in [(PanelType::Q4K, 0.5001), (PanelType::Q4_1, 0.57)] {
            let (values, factors) = quantize(&x, panel);
            for (value, x) in values.0.iter().zip(x) {
                let found = f32::from(*value) * factors.scale;
                assert!((found - x).abs() <= allowed * factors.scale);
            }
        }
        let (values, factors) = quantize(&x, PanelType::Q4K);
        let sum: f32 = values.0.iter().map(|&v| f32::from(v) * factors.scale).sum();
        assert!((factors.shift + sum).abs() < 1e-4);
        assert_eq!(quantize(&[0.0; GROUP], PanelType::Q8_0).1.scale, 0.0);
        x[3] = f32::NAN;
        assert!(quantize(&x, PanelType::Q8_0).1.scale.is_nan());
        x[3] = f32::NEG_INFINITY;
        assert_eq!(quantize(&x, PanelType::Q8_0).1.scale, f32::INFINITY);
        // Scale out of range for half precision.
        let scale = quantize(&[1e8; GROUP], PanelType::Q8_0).1.scale;
        assert_eq!(scale, 1e8 / 127.0);
        // Values whose reciprocal is infinite.
        assert!(
            quantize(&[1e-42; GROUP], PanelType::Q8_0)
                .1
                .scale
                .is_finite()
        );
    }
}
