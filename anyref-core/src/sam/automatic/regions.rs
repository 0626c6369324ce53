//! Removal of islands and holes of masks.

use crate::connected::regions;

/// Kind of small regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Region {
    /// Unset pixels within the mask.
    Hole,
    /// Set pixels apart from the rest.
    Island,
}

/// Fills holes or removes islands of fewer than `min_area` pixels, and returns whether there were
/// any (`remove_small_regions`). Pixels are connected if they touch, including at a corner. If all
/// islands are small, the largest is kept.
///
/// Ties go to the first in OpenCV's order, by squares of 2 × 2 pixels.
pub(super) fn remove_small(
    mask: &mut [bool],
    [height, width]: [usize; 2],
    min_area: usize,
    kind: Region,
) -> bool {
    let inside = kind == Region::Island;
    let (mut small, large): (Vec<_>, Vec<_>) = regions(mask, [height, width], inside)
        .into_iter()
        .partition(|region| region.len() < min_area);
    if small.is_empty() {
        return false;
    }
    if inside && large.is_empty() {
        let first = |region: &[usize]| {
            let squares = region
                .iter()
                .map(|place| (place / width / 2, place % width / 2));
            squares.min()
        };
        let largest = (0..small.len()).min_by_key(|&index| {
            let region = &small[index];
            (std::cmp::Reverse(region.len()), first(region))
        });
        small.remove(largest.unwrap_or(0));
    }
    for place in small.into_iter().flatten() {
        mask[place] = !inside;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[&str]) -> (Vec<bool>, [usize; 2]) {
        let mask = rows.concat().chars().map(|pixel| pixel == '#').collect();
        (mask, [rows.len(), rows[0].len()])
    }

    fn cleaned(rows: &[&str], area: usize, kind: Region) -> (bool, Vec<bool>) {
        let (mut mask, size) = drawn(rows);
        (remove_small(&mut mask, size, area, kind), mask)
    }

    #[test]
    fn small_islands_go_and_touching_corners_hold() {
        let rows = ["##..#", "##...", "..#..", ".....", "#...."];
        let (changed, mask) = cleaned(&rows, 2, Region::Island);
        assert!(changed);
        assert_eq!(
            mask,
            drawn(&["##...", "##...", "..#..", ".....", "....."]).0
        );
        assert!(!cleaned(&rows, 1, Region::Island).0);
    }

    #[test]
    fn small_holes_are_filled() {
        let rows = ["####.", "#.##.", "####.", "####."];
        let (changed, mask) = cleaned(&rows, 2, Region::Hole);
        assert!(changed);
        assert_eq!(mask, drawn(&["####.", "####.", "####.", "####."]).0);
        // Background is a hole if all of it is small.
        assert!(cleaned(&rows, 5, Region::Hole).1.iter().all(|&pixel| pixel));
    }

    #[test]
    fn of_small_islands_alone_the_largest_stays() {
        let (changed, mask) = cleaned(&["#..##", ".....", "#...."], 9, Region::Island);
        assert!(changed);
        assert_eq!(mask, drawn(&["...##", ".....", "....."]).0);
        // Both are equally large; the second begins in the first square from the left.
        let (_, mask) = cleaned(&["...#", "#...", "...."], 9, Region::Island);
        assert_eq!(mask, drawn(&["....", "#...", "...."]).0);
        assert!(!cleaned(&["....", "...."], 9, Region::Island).0);
    }
}
