//! Automatic masks of a picture: a grid of points is prompted, and stable masks with a good
//! estimate are kept, without duplicates (segment-anything `SamAutomaticMaskGenerator`).

mod config;
mod crops;
mod generate;
mod grid;
mod nms;
mod record;
mod regions;
mod source;

pub use config::AutomaticMaskConfig;
pub use generate::{OnPoints, automatic_masks};
pub use record::AutomaticMask;
pub use source::{OneMask, PointMasks};
