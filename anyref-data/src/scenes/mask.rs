//! Bit masks of scene objects.

use anyref_decoder::rle::Rle;

/// Set of pixels of a picture, one bit each, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    height: usize,
    words: Vec<u64>,
}

impl Mask {
    /// Empty mask.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            words: vec![0; (width * height).div_ceil(64)],
        }
    }

    /// Mask of the pixels for which `inside` holds, row-major.
    pub(crate) fn from_pixels(
        width: usize,
        height: usize,
        inside: impl IntoIterator<Item = bool>,
    ) -> Self {
        let mut mask = Self::new(width, height);
        for (i, _) in inside
            .into_iter()
            .take(width * height)
            .enumerate()
            .filter(|(_, on)| *on)
        {
            mask.words[i / 64] |= 1 << (i % 64);
        }
        mask
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Adds the pixel (`x`, `y`).
    pub fn set(&mut self, x: usize, y: usize) {
        let i = y * self.width + x;
        self.words[i / 64] |= 1 << (i % 64);
    }

    /// Returns whether the pixel (`x`, `y`) is in the mask.
    pub fn get(&self, x: usize, y: usize) -> bool {
        let i = y * self.width + x;
        self.words[i / 64] >> (i % 64) & 1 == 1
    }

    /// Number of pixels.
    pub fn area(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Tight box `[x0, y0, x1, y1]` in pixels, the far edges exclusive; `None` for an empty mask.
    pub fn bounds(&self) -> Option<[f32; 4]> {
        let (mut x0, mut y0, mut x1, mut y1) = (self.width, self.height, 0, 0);
        for (x, y) in self.pixels() {
            x0 = x0.min(x);
            x1 = x1.max(x + 1);
            y0 = y0.min(y);
            y1 = y1.max(y + 1);
        }
        (x1 > 0).then_some([x0 as f32, y0 as f32, x1 as f32, y1 as f32])
    }

    /// Coordinates `(x, y)` of the pixels in the mask, row by row.
    pub fn pixels(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.words.iter().enumerate().flat_map(move |(w, &word)| {
            std::iter::successors((word != 0).then_some(word), |rest| {
                let next = rest & (rest - 1);
                (next != 0).then_some(next)
            })
            .map(move |rest| {
                let i = w * 64 + rest.trailing_zeros() as usize;
                (i % self.width, i / self.width)
            })
        })
    }

    /// Adds the pixels of a mask of the same size.
    pub fn union_with(&mut self, other: &Self) {
        debug_assert_eq!((self.width, self.height), (other.width, other.height));
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a |= b;
        }
    }

    /// Removes the pixels of a mask of the same size.
    pub(crate) fn subtract(&mut self, other: &Self) {
        debug_assert_eq!((self.width, self.height), (other.width, other.height));
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= !b;
        }
    }

    /// Number of pixels in the intersection and in the union with a mask of the same size.
    pub fn overlap(&self, other: &Self) -> (usize, usize) {
        self.words
            .iter()
            .zip(&other.words)
            .fold((0, 0), |(i, u), (a, b)| {
                (
                    i + (a & b).count_ones() as usize,
                    u + (a | b).count_ones() as usize,
                )
            })
    }

    /// Intersection over union; 1 for two empty masks.
    pub fn iou(&self, other: &Self) -> f64 {
        let (intersection, union) = self.overlap(other);
        if union == 0 {
            1.0
        } else {
            intersection as f64 / union as f64
        }
    }

    /// Share of each cell of a `width` x `height` grid that the mask covers, row-major, 0 to 1.
    /// Exact if the size divides evenly; otherwise each cell averages every pixel that it touches.
    pub fn coverage(&self, width: usize, height: usize) -> Vec<f32> {
        let mut counts = vec![0u32; width * height];
        let cells = |at: usize, from: usize, to: usize| {
            (at * to / from, ((at + 1) * to).div_ceil(from).min(to))
        };
        for (x, y) in self.pixels() {
            let (cx0, cx1) = cells(x, self.width, width);
            let (cy0, cy1) = cells(y, self.height, height);
            for cy in cy0..cy1 {
                for cx in cx0..cx1 {
                    counts[cy * width + cx] += 1;
                }
            }
        }
        let span = |cell: usize, from: usize, to: usize| {
            ((cell + 1) * from).div_ceil(to) - cell * from / to
        };
        let spans: Vec<usize> = (0..width).map(|cx| span(cx, self.width, width)).collect();
        (0..width * height)
            .map(|i| {
                let total = spans[i % width] * span(i / width, self.height, height);
                counts[i] as f32 / total as f32
            })
            .collect()
    }

    /// Converts the mask to COCO's run lengths.
    ///
    /// # Errors
    /// When the mask has more than [`MAX_PIXELS`](anyref_decoder::rle::MAX_PIXELS).
    pub fn to_rle(&self) -> Result<Rle, anyref_decoder::Error> {
        let pixels: Vec<bool> = self.to_bytes().into_iter().map(|byte| byte > 0).collect();
        Rle::from_mask(&pixels, [self.height, self.width])
    }

    /// Bytes of the pixels, 0 or 255, row-major.
    pub fn to_bytes(&self) -> Vec<u8> {
        (0..self.width * self.height)
            .map(|i| {
                if self.words[i / 64] >> (i % 64) & 1 == 1 {
                    255
                } else {
                    0
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangle(w: usize, h: usize, [x0, y0, x1, y1]: [usize; 4]) -> Mask {
        let inside = move |i: usize| {
            let (x, y) = (i % w, i / w);
            x >= x0 && x < x1 && y >= y0 && y < y1
        };
        Mask::from_pixels(w, h, (0..w * h).map(inside))
    }

    #[test]
    fn counts_bounds_and_overlaps_as_pixel_by_pixel() {
        let (a, b) = (
            rectangle(37, 21, [3, 5, 30, 20]),
            rectangle(37, 21, [10, 0, 37, 9]),
        );
        assert_eq!(a.area(), 27 * 15);
        assert_eq!(a.bounds(), Some([3.0, 5.0, 30.0, 20.0]));
        assert_eq!(a.overlap(&b), (20 * 4, 27 * 15 + 27 * 9 - 20 * 4));
        assert_eq!(a.pixels().count(), a.area());
        assert!(a.pixels().all(|(x, y)| a.get(x, y)));
        assert_eq!(a.to_bytes().iter().filter(|&&v| v == 255).count(), a.area());
        assert_eq!(Mask::new(5, 5).bounds(), None);
    }

    #[test]
    fn coverage_is_the_mean_of_each_cell() {
        let mask = rectangle(32, 16, [2, 3, 17, 11]);
        for (w, h) in [(8, 4), (32, 16), (64, 32), (5, 3)] {
            let coverage = mask.coverage(w, h);
            for cy in 0..h {
                for cx in 0..w {
                    let (xs, ys) = (
                        cx * 32 / w..((cx + 1) * 32).div_ceil(w),
                        cy * 16 / h..((cy + 1) * 16).div_ceil(h),
                    );
                    let total = xs.len() * ys.len();
                    let on = ys
                        .flat_map(|y| xs.clone().map(move |x| (x, y)))
                        .filter(|&(x, y)| mask.get(x, y))
                        .count();
                    let expected = on as f32 / total as f32;
                    assert!(
                        (coverage[cy * w + cx] - expected).abs() < 1e-6,
                        "{w}x{h} {cx} {cy}"
                    );
                }
            }
        }
    }
}
