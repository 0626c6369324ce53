//! PASCAL-Part, in VLPart's conversion to COCO's format.
//!
//! ```text
//! ROOT/train.json
//! ROOT/VOCdevkit/VOC2010/JPEGImages/        pictures
//! ```

use std::path::Path;

use super::error::Result;
use super::parts::Parts;

/// Opens one question for each part of a split such as `train`.
///
/// # Errors
/// When the annotations cannot be read.
pub(super) fn open(root: &Path, split: &str) -> Result<Parts> {
    let annotations = root.join(format!("{split}.json"));
    let images = root.join("VOCdevkit/VOC2010/JPEGImages");
    Parts::open(format!("PASCAL-Part {split}"), &annotations, images)
}
