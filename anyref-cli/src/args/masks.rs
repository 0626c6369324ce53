//! Options of `anyref masks`.

use std::path::PathBuf;

use anyref_core::AutomaticMaskConfig;
use clap::Args;

/// Options with the defaults and meanings of segment-anything's mask generator.
#[derive(Debug, Args)]
pub struct MasksArguments {
    /// Picture file
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Points along a side of the picture that prompt for masks
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub points_per_side: usize,
    /// Points in a batch: more are faster and take more memory
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub points_per_batch: usize,
    /// Keep masks with a higher estimated IoU [default: 0.88, for SAM 2 0.8]
    #[arg(long, value_name = "IOU", allow_negative_numbers = true)]
    pub pred_iou_thresh: Option<f64>,
    /// Keep masks with at least this stability score, the IoU of the masks at a higher and a lower
    /// threshold
    #[arg(
        long,
        default_value_t = 0.95,
        value_name = "IOU",
        allow_negative_numbers = true
    )]
    pub stability_score_thresh: f64,
    /// Shift of the threshold for the stability score, in logits
    #[arg(
        long,
        default_value_t = 1.0,
        value_name = "X",
        allow_negative_numbers = true
    )]
    pub stability_score_offset: f64,
    /// Drop the worse of two masks whose boxes have a higher IoU (non-maximum suppression)
    #[arg(long, default_value_t = 0.7, value_name = "IOU")]
    pub box_nms_thresh: f64,
    /// Layers of crops that are searched too: 2 x 2 crops, 4 x 4 crops …
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub crop_n_layers: usize,
    /// Like --box-nms-thresh, for masks of different crops
    #[arg(long, default_value_t = 0.7, value_name = "IOU")]
    pub crop_nms_thresh: f64,
    /// Overlap of crops, as a share of the picture's short side
    #[arg(long, default_value_t = 512.0 / 1500.0, value_name = "SHARE")]
    pub crop_overlap_ratio: f64,
    /// Factor by which the points along a side decrease from layer to layer
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub crop_n_points_downscale_factor: usize,
    /// Remove islands and holes with fewer pixels
    #[arg(long, default_value_t = 0, value_name = "PIXELS")]
    pub min_mask_region_area: usize,
    /// Folder for the masks as PNG files, 8-bit, 0 or 255, in the picture's size
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write the masks as COCO JSON
    #[arg(long, value_name = "OUT.json")]
    pub coco: Option<PathBuf>,
    /// Write the picture with the masks drawn over it
    #[arg(long, value_name = "OUT.png")]
    pub overlay: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

impl MasksArguments {
    /// Settings of automatic masks, for a model with these defaults.
    pub fn config(&self, defaults: &AutomaticMaskConfig) -> AutomaticMaskConfig {
        AutomaticMaskConfig {
            points_per_side: self.points_per_side,
            points_per_batch: self.points_per_batch,
            pred_iou_thresh: self.pred_iou_thresh.unwrap_or(defaults.pred_iou_thresh),
            stability_score_thresh: self.stability_score_thresh,
            stability_score_offset: self.stability_score_offset,
            box_nms_thresh: self.box_nms_thresh,
            crop_n_layers: self.crop_n_layers,
            crop_nms_thresh: self.crop_nms_thresh,
            crop_overlap_ratio: self.crop_overlap_ratio,
            crop_n_points_downscale_factor: self.crop_n_points_downscale_factor,
            min_mask_region_area: self.min_mask_region_area,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let parsed = Arguments::try_parse_from(["anyref", "masks", "--image", "i.png"]);
        match parsed.unwrap().command {
            Command::Masks(arguments) => {
                for defaults in [AutomaticMaskConfig::new(), AutomaticMaskConfig::sam2()] {
                    assert_eq!(arguments.config(&defaults), defaults);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}
