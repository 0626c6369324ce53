//! Rings around masks.

use super::Rle;

/// Steps of the four directions: right, down, left, up.
const STEPS: [(isize, isize); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

impl Rle {
    /// Closed lines along the edges of a mask's pixels, as `x, y, x, y …` with a corner at each
    /// turn. Filled by the even-odd rule they give the mask; holes are rings too. Pixels that touch
    /// only at a corner are in separate rings.
    pub fn rings(&self) -> Vec<Vec<u32>> {
        let [height, width] = self.size();
        let pixels = self.to_mask();
        let on = |x: usize, y: usize| x < width && y < height && pixels[y * width + x];
        let above = |x: usize, y: usize| y > 0 && on(x, y - 1);
        let before = |x: usize, y: usize| x > 0 && on(x - 1, y);
        // Bit `d` of a corner: an edge starts there in direction `d`, with the mask on its right.
        let stride = width + 1;
        let mut edges = vec![0_u8; stride * (height + 1)];
        for y in 0..height {
            for x in (0..width).filter(|&x| on(x, y)) {
                if !above(x, y) {
                    edges[y * stride + x] |= 1;
                }
                if !on(x + 1, y) {
                    edges[y * stride + x + 1] |= 2;
                }
                if !on(x, y + 1) {
                    edges[(y + 1) * stride + x + 1] |= 4;
                }
                if !before(x, y) {
                    edges[(y + 1) * stride + x] |= 8;
                }
            }
        }
        let mut rings = Vec::new();
        for start in 0..edges.len() {
            while edges[start] != 0 {
                rings.push(ring(&mut edges, start, stride));
            }
        }
        rings
    }
}

/// Removes one ring from the edges.
fn ring(edges: &mut [u8], start: usize, stride: usize) -> Vec<u32> {
    let first = edges[start].trailing_zeros() as usize;
    let (mut at, mut direction) = (start, first);
    let mut ring = Vec::new();
    loop {
        edges[at] &= !(1 << direction);
        let (dx, dy) = STEPS[direction];
        at = at.wrapping_add_signed(dy * stride as isize + dx);
        if at == start {
            break;
        }
        // A right turn is tried first, which separates pixels that touch at a corner.
        let turns = [1, 0, 3].map(|turn| (direction + turn) % 4);
        let next = turns.into_iter().find(|turn| edges[at] & (1 << turn) != 0);
        let Some(next) = next else { break };
        if next != direction {
            ring.extend([(at % stride) as u32, (at / stride) as u32]);
        }
        direction = next;
    }
    if direction != first {
        ring.extend([(start % stride) as u32, (start / stride) as u32]);
    }
    ring
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(rows: &[&str]) -> Rle {
        let pixels: Vec<bool> = rows
            .iter()
            .flat_map(|row| row.bytes().map(|b| b == b'#'))
            .collect();
        Rle::from_mask(&pixels, [rows.len(), rows[0].len()]).unwrap()
    }

    /// Fills the pixels inside an odd number of rings.
    fn filled(rings: &[Vec<u32>], size: [usize; 2]) -> Rle {
        let [height, width] = size;
        let inside = |x: f64, y: f64| {
            let crossings = rings.iter().map(|ring| {
                let corners: Vec<_> = ring
                    .chunks(2)
                    .map(|c| (f64::from(c[0]), f64::from(c[1])))
                    .collect();
                (0..corners.len())
                    .filter(|&i| {
                        let (a, b) = (corners[i], corners[(i + 1) % corners.len()]);
                        a.0 == b.0 && a.0 > x && (a.1 > y) != (b.1 > y)
                    })
                    .count()
            });
            crossings.sum::<usize>() % 2 == 1
        };
        let pixels: Vec<bool> = (0..height * width)
            .map(|i| inside((i % width) as f64 + 0.5, (i / width) as f64 + 0.5))
            .collect();
        Rle::from_mask(&pixels, size).unwrap()
    }

    #[test]
    fn a_square_has_four_corners_and_a_hole_is_a_ring() {
        let square = mask(&["....", ".##.", ".##.", "...."]);
        let found = square.rings();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 8, "{found:?}");
        assert_eq!(mask(&["###", "#.#", "###"]).rings().len(), 2);
        assert_eq!(mask(&["#.", ".#"]).rings().len(), 2);
        assert_eq!(mask(&["..", ".."]).rings().len(), 0);
    }

    #[test]
    fn rings_fill_to_the_mask() {
        for rows in [
            &["#.#.#", ".#.#.", "#####", "#...#", "#.#.#"][..],
            &["#####", "#####"],
            &["..#", ".##", "##."],
        ] {
            let mask = mask(rows);
            assert_eq!(filled(&mask.rings(), mask.size()), mask, "{rows:?}");
        }
    }
}
