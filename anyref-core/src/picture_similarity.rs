//! How alike things in pictures are, by the picture encoder's features inside them.
//!
//! ```text
//! features [1, channels, rows, columns]  ┐
//! mask or box ─ coverage of each cell ───┴─ weighted mean ─▶ [channels] ─ cosine ─▶ similarity
//! ```

use anyref_decoder::rle::Rle;
use anyref_vision::preprocess::ClipResize;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, TensorData, read_sync};

use crate::read::read;
use crate::{Error, Result};

/// A thing in a picture.
#[derive(Debug, Clone, Copy)]
pub enum Region<'a> {
    /// Its mask, in the size of the picture.
    Mask(&'a Rle),
    /// A box around it, `[x0, y0, x1, y1]` in pixels; what is outside the picture does not count.
    Box([f32; 4]),
}

/// Features of a picture, and the part of it that they cover.
#[derive(Debug, Clone)]
pub struct PictureGrid<B: Backend> {
    /// `[1, channels, rows, columns]`
    features: Tensor<B, 4>,
    /// Width and height of the picture.
    size: (u32, u32),
    /// `[x0, y0, x1, y1]` in pixels.
    covered: [f64; 4],
}

impl<B: Backend> PictureGrid<B> {
    /// Features of a whole picture, squeezed to the encoder's square.
    ///
    /// # Shapes
    /// - features: `[1, channels, rows, columns]`
    pub fn new(features: Tensor<B, 4>, size: (u32, u32)) -> Self {
        let (width, height) = size;
        Self {
            features,
            size,
            covered: [0.0, 0.0, width.into(), height.into()],
        }
    }

    /// Features of a picture that came to the encoder's square of `image_size` pixels this way.
    ///
    /// # Shapes
    /// - features: `[1, channels, rows, columns]`
    pub fn resized(
        features: Tensor<B, 4>,
        size: (u32, u32),
        resize: ClipResize,
        image_size: usize,
    ) -> Self {
        let mut grid = Self::new(features, size);
        if resize == ClipResize::CenterCrop {
            let short = u64::from(size.0.min(size.1)).max(1);
            let side = image_size.max(1) as u64;
            let crop = |length: u32| {
                let length = u64::from(length);
                // Whole pixels, as the pre-processing has them.
                let resized = side * length / short;
                let first = (resized.max(side) - side) / 2;
                let scale = length as f64 / resized.max(1) as f64;
                [first as f64 * scale, (first + side) as f64 * scale]
            };
            let ([x0, x1], [y0, y1]) = (crop(size.0), crop(size.1));
            grid.covered = [x0, y0, x1, y1];
        }
        grid
    }

    /// Mean features of regions, each cell by the share of it that a region covers; nothing for a
    /// region that is empty or lies beside what the features cover.
    ///
    /// # Errors
    /// When a mask is not of the picture's size, or the device fails.
    pub fn pool(&self, regions: &[Region<'_>]) -> Result<Vec<Option<Vec<f32>>>> {
        read_sync(self.pool_async(regions))
    }

    /// As [`pool`](Self::pool), without waiting for the device.
    ///
    /// # Errors
    /// As [`pool`](Self::pool).
    pub async fn pool_async(&self, regions: &[Region<'_>]) -> Result<Vec<Option<Vec<f32>>>> {
        let [_, channels, rows, columns] = self.features.dims();
        let cells = rows * columns;
        let mut weights = Vec::with_capacity(regions.len() * cells);
        let mut seen = Vec::with_capacity(regions.len());
        for region in regions {
            let mut coverage = self.coverage(region)?;
            let total: f64 = coverage.iter().sum();
            seen.push(total > 0.0);
            if total > 0.0 {
                coverage.iter_mut().for_each(|weight| *weight /= total);
            }
            weights.extend(coverage.iter().map(|&weight| weight as f32));
        }
        if regions.is_empty() {
            return Ok(Vec::new());
        }
        let device = self.features.device();
        let weights = TensorData::new(weights, [regions.len(), cells]);
        let weights = Tensor::<B, 2>::from_data(weights, &device).cast(DType::F32);
        let features = self.features.clone().cast(DType::F32);
        let features = features.reshape([channels, cells]).transpose();
        let pooled: Vec<f32> = read(weights.matmul(features)).await?.iter().collect();
        let pooled = pooled.chunks_exact(channels).zip(seen);
        Ok(pooled
            .map(|(pooled, seen)| seen.then(|| pooled.to_vec()))
            .collect())
    }

    /// Covered pixels in each cell, rows first.
    fn coverage(&self, region: &Region<'_>) -> Result<Vec<f64>> {
        let [_, _, rows, columns] = self.features.dims();
        let [x0, y0, x1, y1] = self.covered;
        let (across, down) = (Cells::new(x0, x1, columns), Cells::new(y0, y1, rows));
        let mut coverage = vec![0.0; rows * columns];
        let mut add = |from: [f64; 2], to: [f64; 2]| {
            for (row, height) in down.overlaps(from[1], to[1]) {
                for (column, width) in across.overlaps(from[0], to[0]) {
                    coverage[row * columns + column] += width * height;
                }
            }
        };
        let (width, height) = self.size;
        match region {
            Region::Box(corners) => {
                let [x0, y0, x1, y1] = corners.map(f64::from);
                let (right, bottom) = (f64::from(width), f64::from(height));
                let from = [x0.clamp(0.0, right), y0.clamp(0.0, bottom)];
                add(from, [x1.clamp(0.0, right), y1.clamp(0.0, bottom)]);
            }
            Region::Mask(mask) => {
                if mask.size() != [height as usize, width as usize] {
                    return Err(mask_size(mask, self.size));
                }
                let height = height as usize;
                let mut at = 0;
                for (run, &count) in mask.counts().iter().enumerate() {
                    let end = at + count as usize;
                    // Runs go down one column after another, the first is outside the mask.
                    while run % 2 == 1 && at < end {
                        let (x, y) = (at / height, at % height);
                        let length = (end - at).min(height - y);
                        let from = [x as f64, y as f64];
                        add(from, [x as f64 + 1.0, (y + length) as f64]);
                        at += length;
                    }
                    at = end;
                }
            }
        }
        Ok(coverage)
    }
}

/// Equal cells along one side.
struct Cells {
    start: f64,
    length: f64,
    count: usize,
}

impl Cells {
    fn new(start: f64, end: f64, count: usize) -> Self {
        Self {
            start,
            length: (end - start) / count.max(1) as f64,
            count,
        }
    }

    /// Cells that an interval touches, and the length of it in each.
    fn overlaps(&self, from: f64, to: f64) -> impl Iterator<Item = (usize, f64)> {
        let place = |x: f64| (x - self.start) / self.length;
        let first = place(from).floor().max(0.0) as usize;
        let last = (place(to).ceil().max(0.0) as usize).min(self.count);
        (first..last).filter_map(move |cell| {
            let start = self.start + self.length * cell as f64;
            let length = to.min(start + self.length) - from.max(start);
            (length > 0.0).then_some((cell, length))
        })
    }
}

fn mask_size(mask: &Rle, (width, height): (u32, u32)) -> Error {
    let [mask_height, mask_width] = mask.size();
    Error::MaskSize {
        mask: (mask_width as u32, mask_height as u32),
        image: (width, height),
    }
}

/// Cosine of the angle between two features, 0 where one of them is 0.
///
/// # Panics
/// When they are not equally long.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "features of one encoder are equally long");
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    match lengths > 0.0 {
        true => (dot(a, b) / lengths) as f32,
        false => 0.0,
    }
}

/// The candidate that is most like a reference, with its cosine; the first of equal ones. Candidates
/// without features are passed over.
///
/// # Panics
/// As [`cosine`].
pub fn nearest(reference: &[f32], candidates: &[Option<Vec<f32>>]) -> Option<(usize, f32)> {
    let mut best: Option<(usize, f32)> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        let Some(candidate) = candidate else { continue };
        let similarity = cosine(reference, candidate);
        if best.is_none_or(|(_, most)| similarity > most) {
            best = Some((index, similarity));
        }
    }
    best
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;

    use super::*;

    /// Two channels on three rows of four cells, `row + 10 * column` and its negative plus 1.
    fn features() -> Tensor<Flex, 4> {
        let value = |i: usize| (i / 4 % 3 + 10 * (i % 4)) as f32;
        let values: Vec<f32> = (0..24)
            .map(|i| if i < 12 { value(i) } else { 1.0 - value(i) })
            .collect();
        Tensor::from_data(TensorData::new(values, [1, 2, 3, 4]), &Default::default())
    }

    /// A mask of the pixels for which `inside` holds.
    fn mask(width: usize, height: usize, inside: impl Fn(usize, usize) -> bool) -> Rle {
        let pixels: Vec<bool> = (0..width * height)
            .map(|i| inside(i % width, i / width))
            .collect();
        Rle::from_mask(&pixels, [height, width]).unwrap()
    }

    fn first_channel(grid: &PictureGrid<Flex>, region: Region<'_>) -> f32 {
        let pooled = grid.pool(&[region]).unwrap().remove(0).unwrap();
        assert!((pooled[1] - (1.0 - pooled[0])).abs() < 1e-5, "{pooled:?}");
        pooled[0]
    }

    #[test]
    fn cells_count_by_what_is_covered_of_them() {
        // Cells of 2 by 2 pixels.
        let grid = PictureGrid::new(features(), (8, 6));
        let close = |region, expected: f32| {
            let found = first_channel(&grid, region);
            assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
        };
        close(Region::Box([0.0, 0.0, 2.0, 2.0]), 0.0);
        close(Region::Box([2.0, 4.0, 4.0, 6.0]), 12.0);
        // Three quarters of a cell, one of the next.
        close(Region::Box([0.5, 0.0, 2.5, 2.0]), 2.5);
        // 1.5 rows of the first, 0.5 of the second.
        close(Region::Box([0.0, 0.5, 2.0, 2.5]), 0.25);
        close(Region::Box([-9.0, -9.0, 99.0, 99.0]), 16.0);
        let one = mask(8, 6, |x, y| (2..4).contains(&x) && (4..6).contains(&y));
        close(Region::Mask(&one), 12.0);
        // Three pixels of the first cell, one of the last.
        let parts = mask(8, 6, |x, y| {
            (x < 2 && y < 2 && x + y < 2) || (x, y) == (7, 5)
        });
        close(Region::Mask(&parts), 32.0 / 4.0);
        // Whole columns, in one run.
        let columns = mask(8, 6, |x, _| x < 4);
        close(Region::Mask(&columns), 6.0);
        close(Region::Box([0.0, 0.0, 4.0, 6.0]), 6.0);
    }

    #[test]
    fn pixels_are_shared_out_where_cells_are_no_whole_ones() {
        // Cells of 1.25 by 1 pixels: the second column has a quarter of cell 0 and 0.75 of cell 1.
        let grid = PictureGrid::new(features(), (5, 3));
        let column = mask(5, 3, |x, y| x == 1 && y == 0);
        let found = first_channel(&grid, Region::Mask(&column));
        assert!((found - 7.5).abs() < 1e-5, "{found}");
        // Cells larger than the picture's pixels and smaller.
        let grid = PictureGrid::new(features(), (1, 1));
        let all = mask(1, 1, |_, _| true);
        let found = first_channel(&grid, Region::Mask(&all));
        assert!((found - 16.0).abs() < 1e-5, "{found}");
    }

    #[test]
    fn a_centre_crop_covers_the_middle() {
        // A picture of 20 by 10 at a side of 12: 24 by 12, of which columns 6 to 18 are seen, 5 to 15 before.
        let grid = PictureGrid::resized(features(), (20, 10), ClipResize::CenterCrop, 12);
        let found = first_channel(&grid, Region::Box([5.0, 0.0, 7.5, 10.0]));
        assert!((found - 1.0).abs() < 1e-5, "{found}");
        // Beside it nothing is seen.
        let beside = [
            Region::Box([0.0, 0.0, 5.0, 10.0]),
            Region::Box([0.0, 0.0, 20.0, 10.0]),
        ];
        let pooled = grid.pool(&beside).unwrap();
        assert!(pooled[0].is_none());
        assert!((pooled[1].as_ref().unwrap()[0] - 16.0).abs() < 1e-5);
        let squeezed = PictureGrid::resized(features(), (20, 10), ClipResize::Squeeze, 12);
        let found = first_channel(&squeezed, Region::Box([0.0, 0.0, 5.0, 10.0]));
        assert!((found - 1.0).abs() < 1e-5, "{found}");
    }

    #[test]
    fn empty_regions_and_masks_of_other_sizes_are_told() {
        let grid = PictureGrid::new(features(), (8, 6));
        let none = mask(8, 6, |_, _| false);
        let regions = [Region::Mask(&none), Region::Box([3.0, 3.0, 3.0, 5.0])];
        assert_eq!(grid.pool(&regions).unwrap(), [None, None]);
        assert!(grid.pool(&[]).unwrap().is_empty());
        let other = mask(6, 8, |_, _| true);
        let error = grid.pool(&[Region::Mask(&other)]).unwrap_err();
        assert!(matches!(error, Error::MaskSize { .. }), "{error}");
    }

    #[test]
    fn the_nearest_candidate_has_the_greatest_cosine() {
        assert!((cosine(&[3.0, 4.0], &[4.0, 3.0]) - 0.96).abs() < 1e-6);
        assert_eq!(cosine(&[0.0, 0.0], &[4.0, 3.0]), 0.0);
        let candidates = [
            None,
            Some(vec![-1.0, 0.0]),
            Some(vec![9.0, 1.0]),
            Some(vec![18.0, 2.0]),
            Some(vec![0.0, 1.0]),
        ];
        let (index, similarity) = nearest(&[2.0, 0.0], &candidates).unwrap();
        assert_eq!(index, 2);
        assert!((similarity - 9.0 / 82.0_f32.sqrt()).abs() < 1e-6);
        // All may be unlike it.
        assert_eq!(nearest(&[1.0, 0.0], &candidates[..2]), Some((1, -1.0)));
        assert_eq!(nearest(&[1.0, 0.0], &candidates[..1]), None);
    }
}
