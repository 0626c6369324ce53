//! Crops of a picture that are searched separately.

/// Distance in pixels from an edge of the crop within which a mask counts as cut off.
const NEAR: f32 = 20.0;

/// Part of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crop {
    /// Left, top, right and bottom edge in pixels, right and bottom exclusive.
    pub(super) bounds: [usize; 4],
    /// Layer, 0 for the whole picture.
    pub(super) layer: usize,
}

impl Crop {
    /// Height and width.
    pub(super) fn size(self) -> [usize; 2] {
        let [x0, y0, x1, y1] = self.bounds;
        [y1 - y0, x1 - x0]
    }

    /// Number of pixels.
    pub(super) fn area(self) -> usize {
        let [height, width] = self.size();
        height * width
    }

    /// Returns whether a box of the crop, `[x0, y0, x1, y1]` of first and last pixels, touches an
    /// edge of the crop that is not an edge of the picture of `height` and `width`
    /// (`is_box_near_crop_edge`).
    pub(super) fn cuts(self, corners: [usize; 4], [height, width]: [usize; 2]) -> bool {
        let [x0, y0, ..] = self.bounds;
        let picture = [0, 0, width, height];
        let near = |one: usize, other: usize| (one as f32 - other as f32).abs() <= NEAR;
        (0..4).any(|edge| {
            let place = corners[edge] + [x0, y0][edge % 2];
            near(place, self.bounds[edge]) && !near(place, picture[edge])
        })
    }
}

/// Computes the whole picture of `height` and `width`, then the crops of each layer
/// (`generate_crop_boxes`). Crops without pixels, which occur in tiny pictures, are omitted.
pub(super) fn crops([height, width]: [usize; 2], layers: usize, overlap_ratio: f64) -> Vec<Crop> {
    let mut crops = vec![Crop {
        bounds: [0, 0, width, height],
        layer: 0,
    }];
    let short = height.min(width) as f64;
    for layer in 1..=layers {
        let across = 1_usize << layer;
        let overlap = (overlap_ratio * short * (2.0 / across as f64)) as usize;
        let length = |side: usize| (overlap * (across - 1) + side).div_ceil(across);
        let (crop_width, crop_height) = (length(width), length(height));
        for column in 0..across {
            for row in 0..across {
                let x0 = crop_width.saturating_sub(overlap) * column;
                let y0 = crop_height.saturating_sub(overlap) * row;
                let (x1, y1) = ((x0 + crop_width).min(width), (y0 + crop_height).min(height));
                if x0 < x1 && y0 < y1 {
                    let bounds = [x0, y0, x1, y1];
                    crops.push(Crop { bounds, layer });
                }
            }
        }
    }
    crops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_cover_the_picture_and_overlap() {
        let found = crops([600, 900], 1, 512.0 / 1500.0);
        let bounds: Vec<_> = found.iter().map(|crop| crop.bounds).collect();
        // Output of `generate_crop_boxes((600, 900), 1, 512 / 1500)`.
        assert_eq!(
            bounds,
            [
                [0, 0, 900, 600],
                [0, 0, 552, 402],
                [0, 198, 552, 600],
                [348, 0, 900, 402],
                [348, 198, 900, 600],
            ]
        );
        assert_eq!(crops([600, 900], 2, 0.2).len(), 1 + 4 + 16);
        for size in [[1, 1], [1, 50], [3, 2]] {
            let found = crops(size, 3, 0.34);
            assert!(found.iter().all(|crop| crop.area() > 0), "{size:?}");
        }
    }

    #[test]
    fn only_edges_inside_the_picture_cut() {
        let crop = Crop {
            bounds: [100, 0, 200, 100],
            layer: 1,
        };
        let cuts = |corners| crop.cuts(corners, [300, 300]);
        assert!(!cuts([30, 0, 60, 60]));
        assert!(cuts([20, 0, 60, 60]));
        assert!(cuts([30, 0, 85, 60]));
        assert!(cuts([30, 0, 60, 90]));
        let whole = Crop {
            bounds: [0, 0, 300, 300],
            layer: 0,
        };
        assert!(!whole.cuts([0, 0, 299, 299], [300, 300]));
    }
}
