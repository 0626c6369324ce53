//! Configuration of automatic masks.

use burn::config::Config;

use crate::{Error, Result};

/// The most layers of crops: each has four times as many as the one before.
const MAX_CROP_LAYERS: usize = 6;

/// How automatic masks are made; the fields and their defaults are the reference's.
#[derive(Config, Debug, PartialEq)]
pub struct AutomaticMaskConfig {
    /// Points along a side of the picture.
    #[config(default = 32)]
    pub points_per_side: usize,
    /// Points decoded together.
    #[config(default = 64)]
    pub points_per_batch: usize,
    /// Masks are kept whose IoU the decoder expects to be higher; 0 keeps all.
    #[config(default = 0.88)]
    pub pred_iou_thresh: f64,
    /// Masks are kept whose stability is at least this; 0 keeps all.
    #[config(default = 0.95)]
    pub stability_score_thresh: f64,
    /// Stability is the IoU of the masks at thresholds so much higher and lower than the usual one.
    #[config(default = 1.0)]
    pub stability_score_offset: f64,
    /// Of masks whose boxes have a higher IoU, the one expected to be better is kept.
    #[config(default = 0.7)]
    pub box_nms_thresh: f64,
    /// Layers of crops that are searched too, the first of 2 × 2 crops, the next of 4 × 4.
    #[config(default = 0)]
    pub crop_n_layers: usize,
    /// The same as `box_nms_thresh` for masks of different crops, of which the smaller crop's is
    /// kept.
    #[config(default = 0.7)]
    pub crop_nms_thresh: f64,
    /// Overlap of the crops of the first layer as a share of the picture's short side; of later
    /// layers it is half of the one before.
    #[config(default = "512.0 / 1500.0")]
    pub crop_overlap_ratio: f64,
    /// Points along a side become fewer by this factor from layer to layer.
    #[config(default = 1)]
    pub crop_n_points_downscale_factor: usize,
    /// Islands and holes of fewer pixels are removed; 0 leaves masks as they are.
    #[config(default = 0)]
    pub min_mask_region_area: usize,
}

impl AutomaticMaskConfig {
    /// The defaults of SAM 2's generator, which trusts lower estimates.
    pub fn sam2() -> Self {
        Self::new().with_pred_iou_thresh(0.8)
    }

    /// Whether masks can be made so.
    ///
    /// # Errors
    /// When there is no point in a layer or a batch, a number is not finite, crops overlap wholly,
    /// or there are more than 6 layers of them.
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
