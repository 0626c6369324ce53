//! SAM or SAM 2 without a language model: masks for points, boxes and earlier masks, and automatic
//! masks of a whole picture.

mod automatic;
mod config;
mod kinds;
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
pub use kinds::{MaskDecoderKind, MaskDecoderKindConfig, MaskImageEncoder, MaskImageEncoderConfig};
pub use mask_prompt::{EarlierMask, LowResMask, MaskPrompt, Point};
pub(crate) use model::pictures_at_once;
pub use model::{Sam2Parts, SamForm, SamModel, SamParts};
pub use picture::SamPicture;
pub(crate) use picture_masks::in_square;
pub use predict::{MaskCandidate, MaskPrediction, Multimask};
