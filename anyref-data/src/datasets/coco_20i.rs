//! COCO-20i: four folds of twenty categories, segmented by the example of a picture.
//!
//! ```text
//! ROOT/annotations/instances_val2014.json
//! ROOT/val2014/                             pictures
//! ```

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::coco::annotations_path;
use super::coco_file::CocoFile;
use super::coco_pairs::{CocoPairs, PairOptions};
use super::error::{Error, Result};

/// Number of folds.
pub(crate) const FOLDS: usize = 4;

/// Side of a fold: its own categories, or all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoldPart {
    /// Categories outside the fold, to train on.
    Train,
    /// Categories of the fold, unseen in training.
    Test,
}

/// Category ids of a fold: every fourth of COCO's ids in ascending order, starting at `fold`.
///
/// # Errors
/// When there is no such fold.
pub fn fold_categories(file: &CocoFile, fold: usize, part: FoldPart) -> Result<BTreeSet<i64>> {
    if fold >= FOLDS {
        let reason = format!("COCO-20i has the folds 0 to {}, not {fold}", FOLDS - 1);
        return Err(Error::Options(reason));
    }
    let numbered = file.categories().keys().enumerate();
    Ok(numbered
        .filter(|(place, _)| (place % FOLDS == fold) == (part == FoldPart::Test))
        .map(|(_, &id)| id)
        .collect())
}

/// Opens the pairs of a fold in a split such as `val2014`. The categories of `options` are replaced
/// by the fold's.
///
/// # Errors
/// When there is no such fold, or the annotations cannot be read.
pub fn open_fold(
    root: &Path,
    split: &str,
    fold: usize,
    part: FoldPart,
    options: PairOptions,
) -> Result<CocoPairs> {
    let file = Arc::new(CocoFile::open(&root.join(annotations_path(split)))?);
    let options = PairOptions {
        categories: fold_categories(&file, fold, part)?,
        ..options
    };
    let name = format!("COCO-20i {split} fold {fold}");
    CocoPairs::new(&name, &root.join(split), file, options)
}
