//! SAM or SAM 2 by itself: points, boxes and earlier masks become masks, without a language model;
//! and every mask of a picture, by a grid of points.

mod automatic;
mod config;
mod load;
mod mask_prompt;
mod model;
mod picture;
mod picture_masks;
mod predict;
mod shared;

pub use automatic::{
    AutomaticMask, AutomaticMaskConfig, OnPoints, OneMask, PointMasks, automatic_masks,
};
pub use config::{Sam2Config, SamConfig};
pub use mask_prompt::{EarlierMask, LowResMask, MaskPrompt, Point};
pub(crate) use model::pictures_at_once;
pub use model::{Sam2Parts, SamForm, SamModel, SamParts};
pub use picture::SamPicture;
pub(crate) use picture_masks::in_picture;
pub use predict::{MaskCandidate, MaskPrediction, Multimask};
