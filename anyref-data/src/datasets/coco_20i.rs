//! COCO-20i: four folds of twenty categories, each to be segmented by the example of a picture.
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

/// Whether a fold's own categories are asked for, or all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoldPart {
    /// The categories outside the fold, to learn from.
    Train,
    /// The categories of the fold, unseen until then.
    Test,
}

/// The categories of a fold: of those of COCO in the order of their numbers, every fourth, from the
/// fold's own on.
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

/// Pairs of a fold in a split such as `val2014`. Of the options, the categories are the fold's.
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
