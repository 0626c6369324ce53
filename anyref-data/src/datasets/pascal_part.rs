//! PASCAL-Part, in the form of COCO that VLPart gave it.
//!
//! ```text
//! ROOT/train.json
//! ROOT/VOCdevkit/VOC2010/JPEGImages/        pictures
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::dataset::Dataset;
use super::error::Result;
use super::item::Item;
use super::parts::Parts;

/// A question for each part.
#[derive(Debug)]
pub(crate) struct PascalPart(Parts);

impl PascalPart {
    /// Opens a split such as `train`.
    ///
    /// # Errors
    /// When the annotations cannot be read.
    pub(crate) fn open(root: &Path, split: &str) -> Result<Self> {
        let annotations = root.join(format!("{split}.json"));
        let images = root.join("VOCdevkit/VOC2010/JPEGImages");
        Parts::open(format!("PASCAL-Part {split}"), &annotations, images).map(Self)
    }
}

impl Dataset for PascalPart {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn item(&self, index: usize, draw: u64) -> Result<Item> {
        self.0.item(index, draw)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        self.0.files()
    }
}
