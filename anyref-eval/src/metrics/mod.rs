//! Scores of benchmarks, equal to those of their reference code.
//!
//! Each metric is a [`Metric`]: it turns samples, the contributions of one picture, sentence or
//! video each, into scores. Sums over samples are integers if the reference's are, so that scores
//! of any subset, and with them [intervals and comparisons](super::confidence), cost one pass over
//! the samples.
//!
//! | metric | benchmark | formulas of |
//! | --- | --- | --- |
//! | [`Referring`] | RefCOCO, RefCOCO+, RefCOCOg, RefCLEF | LAVT (cIoU, mIoU, Pr), LISA (gIoU) |
//! | [`Reasoning`] | ReasonSeg | LISA |
//! | [`Generalized`] | gRefCOCO | ReLA |
//! | [`FewShot`] | COCO-20i, PASCAL-5i | HSNet |
//! | [`AudioVisual`] | AVSBench S4 and MS3 | AVSBench |
//! | [`caption::Captioning`] | expressions of regions | pycocoevalcap |

pub mod caption;

mod audio_visual;
mod error;
mod few_shot;
mod generalized;
mod metric;
mod overlap;
mod segmentation;
mod soft_mask;

pub use audio_visual::{AudioVisual, Batch, Frame};
pub use error::{Error, Result};
pub use few_shot::{Episode, FewShot};
pub use generalized::{Generalized, GeneralizedSample};
pub use metric::Metric;
pub use overlap::{Overlap, united};
pub use segmentation::{Reasoning, Referring};
pub use soft_mask::SoftMask;
