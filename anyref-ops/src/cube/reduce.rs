//! Reduction of the values of a cube's units in a fixed order.

use cubecl::prelude::*;

/// Adds the values of all units, whose number is a power of two; every unit gets the sum.
#[cube]
pub(super) fn cube_sum(
    mine: f32,
    partial: &mut SharedMemory<f32>,
    #[comptime] units: usize,
) -> f32 {
    let unit = UNIT_POS as usize;
    partial[unit] = mine;
    sync_cube();
    let steps = comptime!(units.trailing_zeros());
    #[unroll]
    for step in 0..steps {
        let half = comptime!(units >> (step + 1));
        if unit < half {
            partial[unit] = partial[unit] + partial[unit + half];
        }
        sync_cube();
    }
    let whole = partial[0];
    sync_cube();
    whole
}

/// Largest value of all units, whose number is a power of two; every unit gets it.
#[cube]
pub(super) fn cube_max(
    mine: f32,
    partial: &mut SharedMemory<f32>,
    #[comptime] units: usize,
) -> f32 {
    let unit = UNIT_POS as usize;
    partial[unit] = mine;
    sync_cube();
    let steps = comptime!(units.trailing_zeros());
    #[unroll]
    for step in 0..steps {
        let half = comptime!(units >> (step + 1));
        if unit < half {
            partial[unit] = max(partial[unit], partial[unit + half]);
        }
        sync_cube();
    }
    let whole = partial[0];
    sync_cube();
    whole
}

/// Adds several values of the units of each team, of `lanes` consecutive units, a power of two. The
/// first unit of a team gets its sums in `mine`.
#[cube]
pub(super) fn team_sums(
    mine: &mut Array<f32>,
    partial: &mut SharedMemory<f32>,
    #[comptime] count: usize,
    #[comptime] units: usize,
    #[comptime] lanes: usize,
) {
    let unit = UNIT_POS as usize;
    let lane = unit % lanes;
    #[unroll]
    for index in 0..count {
        partial[index * units + unit] = mine[index];
    }
    sync_cube();
    let steps = comptime!(lanes.trailing_zeros());
    #[unroll]
    for step in 0..steps {
        let half = comptime!(lanes >> (step + 1));
        if lane < half {
            #[unroll]
            for index in 0..count {
                let place = index * units + unit;
                partial[place] = partial[place] + partial[place + half];
            }
        }
        sync_cube();
    }
    #[unroll]
    for index in 0..count {
        mine[index] = partial[index * units + unit];
    }
    sync_cube();
}

/// Adds several values of the units of each team, as [`team_sums`] does; every unit of a team gets
/// its sums in `mine`.
#[cube]
pub(super) fn team_totals(
    mine: &mut Array<f32>,
    partial: &mut SharedMemory<f32>,
    #[comptime] count: usize,
    #[comptime] units: usize,
    #[comptime] lanes: usize,
) {
    team_sums(mine, partial, count, units, lanes);
    let unit = UNIT_POS as usize;
    #[unroll]
    for index in 0..count {
        mine[index] = partial[index * units + unit / lanes * lanes];
    }
    sync_cube();
}
