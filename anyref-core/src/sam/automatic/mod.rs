//! Every mask of a picture: a grid of points is asked for masks, and the stable ones that the
//! decoder itself trusts are kept once each (segment-anything `SamAutomaticMaskGenerator`).

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
