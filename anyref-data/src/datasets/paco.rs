//! PACO-LVIS: objects of COCO's pictures and their parts.
//!
//! ```text
//! ROOT/annotations/paco_lvis_v1_train.json
//! COCO/train2017/                           pictures, as the file names them
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::dataset::Dataset;
use super::error::Result;
use super::item::Item;
use super::parts::Parts;

/// A question for each object and part.
#[derive(Debug)]
pub(crate) struct Paco(Parts);

impl Paco {
    /// Opens `train`, `val` or `test`; `coco` is the folder with `train2017`.
    ///
    /// # Errors
    /// When the annotations cannot be read.
    pub(crate) fn open(root: &Path, split: &str, coco: &Path) -> Result<Self> {
        let annotations = root.join(format!("annotations/paco_lvis_v1_{split}.json"));
        Parts::open(format!("PACO-LVIS {split}"), &annotations, coco.to_owned()).map(Self)
    }
}

impl Dataset for Paco {
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
