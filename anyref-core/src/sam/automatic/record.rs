//! Automatic mask with its record.

use super::crops::Crop;
use super::nms::Corners;
use crate::Mask;

/// Mask found automatically.
#[derive(Debug, Clone)]
pub struct AutomaticMask {
    /// Mask in the picture's size.
    pub mask: Mask,
    /// Decoder's IoU estimate, unclamped.
    pub predicted_iou: f32,
    /// IoU of the masks at a higher and at a lower threshold.
    pub stability_score: f32,
    /// Point that prompted the mask, `[x, y]` in pixels of the picture.
    pub point: [f64; 2],
    /// Part of the picture that was encoded, `[x0, y0, x1, y1]`.
    pub crop_box: [u32; 4],
    /// First and last columns and rows, in the picture.
    pub(super) corners: Corners,
    pub(super) crop_area: usize,
}

impl AutomaticMask {
    /// Creates the record of a mask found in a crop, to which `corners` and `point` are relative.
    pub(super) fn found(
        mask: Mask,
        [predicted_iou, stability_score]: [f32; 2],
        point: [f64; 2],
        corners: Corners,
        crop: Crop,
    ) -> Self {
        let [left, top, ..] = crop.bounds;
        let [x0, y0, x1, y1] = corners;
        Self {
            mask,
            predicted_iou,
            stability_score,
            point: [point[0] + left as f64, point[1] + top as f64],
            crop_box: crop.bounds.map(|edge| edge as u32),
            corners: [x0 + left, y0 + top, x1 + left, y1 + top],
            crop_area: crop.area(),
        }
    }
}
