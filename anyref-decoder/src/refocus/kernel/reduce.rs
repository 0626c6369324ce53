//! Reduction of the results of a cube's units in a fixed order.

use cubecl::prelude::*;

/// Logarithm below that of any weight, finite in f32.
pub(super) const LOWEST: f32 = -1.0e30;

/// Sum of exponentials, `sum · exp(top)`.
#[derive(CubeType, Clone, Copy)]
pub(super) struct ExpSum {
    pub(super) top: f32,
    pub(super) sum: f32,
}

/// Adds two sums of exponentials.
#[cube]
pub(super) fn add_exp(a: ExpSum, b: ExpSum) -> ExpSum {
    let top = max(a.top, b.top);
    ExpSum {
        top,
        sum: a.sum * (a.top - top).exp() + b.sum * (b.top - top).exp(),
    }
}

/// Reduces the sums of all units; every unit gets the result.
#[cube]
pub(super) fn cube_exp_sum(
    mine: ExpSum,
    tops: &mut SharedMemory<f32>,
    sums: &mut SharedMemory<f32>,
    #[comptime] units: usize,
) -> ExpSum {
    let unit = UNIT_POS as usize;
    tops[unit] = mine.top;
    sums[unit] = mine.sum;
    sync_cube();
    let steps = comptime!(units.trailing_zeros());
    #[unroll]
    for step in 0..steps {
        let half = comptime!(units >> (step + 1));
        if unit < half {
            let whole = add_exp(
                ExpSum {
                    top: tops[unit],
                    sum: sums[unit],
                },
                ExpSum {
                    top: tops[unit + half],
                    sum: sums[unit + half],
                },
            );
            tops[unit] = whole.top;
            sums[unit] = whole.sum;
        }
        sync_cube();
    }
    let whole = ExpSum {
        top: tops[0],
        sum: sums[0],
    };
    sync_cube();
    whole
}

/// Reduces the values of all units; every unit gets the result.
#[cube]
pub(super) fn cube_sum(mine: f32, sums: &mut SharedMemory<f32>, #[comptime] units: usize) -> f32 {
    let unit = UNIT_POS as usize;
    sums[unit] = mine;
    sync_cube();
    let steps = comptime!(units.trailing_zeros());
    #[unroll]
    for step in 0..steps {
        let half = comptime!(units >> (step + 1));
        if unit < half {
            sums[unit] = sums[unit] + sums[unit + half];
        }
        sync_cube();
    }
    let whole = sums[0];
    sync_cube();
    whole
}
