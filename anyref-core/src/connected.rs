//! Connected regions of masks.

/// Pixel indices of each connected region of `value`, in the order of the regions' first pixels.
/// Pixels are connected if they touch, including at a corner.
pub(crate) fn regions(mask: &[bool], [height, width]: [usize; 2], value: bool) -> Vec<Vec<usize>> {
    let mut seen = vec![false; mask.len()];
    let mut found = Vec::new();
    for start in 0..mask.len() {
        if seen[start] || mask[start] != value {
            continue;
        }
        seen[start] = true;
        let mut region = vec![start];
        let mut next = 0;
        while next < region.len() {
            let (y, x) = (region[next] / width, region[next] % width);
            next += 1;
            for row in y.saturating_sub(1)..(y + 2).min(height) {
                for column in x.saturating_sub(1)..(x + 2).min(width) {
                    let place = row * width + column;
                    if !seen[place] && mask[place] == value {
                        seen[place] = true;
                        region.push(place);
                    }
                }
            }
        }
        found.push(region);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_connect() {
        let rows = ["#..#", ".#.#", "...."];
        let mask: Vec<bool> = rows.concat().chars().map(|c| c == '#').collect();
        assert_eq!(regions(&mask, [3, 4], true), [vec![0, 5], vec![3, 7]]);
        // The first unset pixel touches the others at corners.
        assert_eq!(regions(&mask, [3, 4], false).len(), 1);
    }
}
