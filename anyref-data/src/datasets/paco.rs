//! PACO-LVIS: objects in COCO's pictures, and their parts.
//!
//! ```text
//! ROOT/annotations/paco_lvis_v1_train.json
//! COCO/train2017/                           pictures, named as in the file
//! ```

use std::path::Path;

use super::error::Result;
use super::parts::Parts;

/// Opens one question for each object and part of `train`, `val` or `test`. `coco` is the folder
/// that holds `train2017`.
///
/// # Errors
/// When the annotations cannot be read.
pub(super) fn open(root: &Path, split: &str, coco: &Path) -> Result<Parts> {
    let annotations = root.join(format!("annotations/paco_lvis_v1_{split}.json"));
    Parts::open(format!("PACO-LVIS {split}"), &annotations, coco.to_owned())
}
