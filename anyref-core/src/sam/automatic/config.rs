//! Configuration of automatic masks.

use burn::config::Config;

use crate::{Error, Result};

/// Maximum layers of crops; each has four times as many crops as the one before.
const MAX_CROP_LAYERS: usize = 6;

/// Settings of automatic masks; fields and defaults are the reference's.
#[derive(Config, Debug, PartialEq)]
pub struct AutomaticMaskConfig {
    /// Points along a side of the picture.
    #[config(default = 32)]
    pub points_per_side: usize,
    /// Number of points decoded together.
    #[config(default = 64)]
    pub points_per_batch: usize,
    /// Minimum IoU estimate (exclusive) of masks that are kept; 0 keeps all.
    #[config(default = 0.88)]
    pub pred_iou_thresh: f64,
    /// Minimum stability of masks that are kept; 0 keeps all.
    #[config(default = 0.95)]
    pub stability_score_thresh: f64,
    /// Threshold offset: stability is the IoU of the masks at thresholds this much above and below
    /// the usual one.
    #[config(default = 1.0)]
    pub stability_score_offset: f64,
    /// Maximum IoU of the boxes of two masks; above it only the mask with the better estimate is
    /// kept.
    #[config(default = 0.7)]
    pub box_nms_thresh: f64,
    /// Number of layers of crops to search, the first of 2 × 2 crops, the next of 4 × 4.
    #[config(default = 0)]
    pub crop_n_layers: usize,
    /// Counterpart of `box_nms_thresh` for masks of different crops, of which the smaller crop's is
    /// kept.
    #[config(default = 0.7)]
    pub crop_nms_thresh: f64,
    /// Overlap of the crops of the first layer as a share of the picture's short side; halved in
    /// each further layer.
    #[config(default = "512.0 / 1500.0")]
    pub crop_overlap_ratio: f64,
    /// Factor by which the points along a side decrease in each layer.
    #[config(default = 1)]
    pub crop_n_points_downscale_factor: usize,
    /// Minimum pixels of islands and holes; smaller ones are removed. 0 leaves masks unchanged.
    #[config(default = 0)]
    pub min_mask_region_area: usize,
}

impl AutomaticMaskConfig {
    /// Defaults of SAM 2's generator, which accepts lower estimates.
    pub fn sam2() -> Self {
        Self::new().with_pred_iou_thresh(0.8)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// When there is no point in a layer or a batch, a number is not finite, crops overlap
    /// completely, or there are more than 6 layers of them.
    pub fn validate(&self) -> Result<()> {
        let refuse = |field, problem: String| Err(Error::Config { field, problem });
        if self.points_per_batch == 0 {
            return refuse("points_per_batch", "is 0: give 1 or more".into());
        }
        if self.crop_n_layers > MAX_CROP_LAYERS {
            let problem = format!("is {}: give {MAX_CROP_LAYERS} at most", self.crop_n_layers);
            return refuse("crop_n_layers", problem);
        }
        if self.crop_n_points_downscale_factor == 0 {
            return refuse(
                "crop_n_points_downscale_factor",
                "is 0: give 1 or more".into(),
            );
        }
        if let Some(layer) = (0..=self.crop_n_layers).find(|&layer| self.points(layer) == 0) {
            let problem = format!(
                "of {} leaves no point to crop layer {layer}: give more, or a lower \
                 crop_n_points_downscale_factor",
                self.points_per_side
            );
            return refuse("points_per_side", problem);
        }
        let numbers = [
            ("pred_iou_thresh", self.pred_iou_thresh),
            ("stability_score_thresh", self.stability_score_thresh),
            ("stability_score_offset", self.stability_score_offset),
            ("box_nms_thresh", self.box_nms_thresh),
            ("crop_nms_thresh", self.crop_nms_thresh),
        ];
        for (field, number) in numbers {
            if !number.is_finite() {
                return refuse(field, format!("is {number}: give a finite number"));
            }
        }
        match (0.0..1.0).contains(&self.crop_overlap_ratio) {
            true => Ok(()),
            false => refuse(
                "crop_overlap_ratio",
                format!("is {}: give 0 to below 1", self.crop_overlap_ratio),
            ),
        }
    }

    /// Points along a side of each crop of a layer.
    pub(super) fn points(&self, layer: usize) -> usize {
        let factor = self
            .crop_n_points_downscale_factor
            .checked_pow(layer as u32);
        factor.map_or(0, |factor| self.points_per_side / factor.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_references() {
        let config = AutomaticMaskConfig::new();
        config.validate().unwrap();
        assert_eq!((config.points(0), config.points_per_batch), (32, 64));
        assert_eq!(config.crop_overlap_ratio, 512.0 / 1500.0);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        let usual = AutomaticMaskConfig::new;
        for (config, field) in [
            (usual().with_points_per_side(0), "points_per_side"),
            (usual().with_points_per_batch(0), "points_per_batch"),
            (usual().with_crop_n_layers(7), "crop_n_layers"),
            (usual().with_pred_iou_thresh(f64::NAN), "pred_iou_thresh"),
            (usual().with_crop_overlap_ratio(1.0), "crop_overlap_ratio"),
            (
                usual().with_crop_n_points_downscale_factor(0),
                "crop_n_points_downscale_factor",
            ),
            (
                usual()
                    .with_points_per_side(8)
                    .with_crop_n_layers(2)
                    .with_crop_n_points_downscale_factor(4),
                "points_per_side",
            ),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
