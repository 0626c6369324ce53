//! References and their sentences about COCO's pictures, as REFER and gRefCOCO keep them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::coco_file::CocoFile;
use super::dataset::{entry, some};
use super::error::Result;
use super::item::Subject;

/// Reference to an instance in a picture.
pub(super) trait PictureReference {
    /// Number of the picture.
    fn image_id(&self) -> i64;
}

/// References of one split, and the questions made of them.
#[derive(Debug)]
pub(super) struct ReferenceList<R> {
    pub(super) name: String,
    /// Folder of the pictures.
    pub(super) images: PathBuf,
    pub(super) file: CocoFile,
    refs: Vec<R>,
    /// Reference and sentence of each item.
    entries: Vec<(usize, usize)>,
}

impl<R: PictureReference> ReferenceList<R> {
    /// Builds a list with `sentences` items for each reference.
    ///
    /// # Errors
    /// When there are no items.
    pub(super) fn new(
        name: String,
        images: PathBuf,
        file: CocoFile,
        refs: Vec<R>,
        sentences: impl Fn(&R) -> usize,
    ) -> Result<Self> {
        let mut entries = Vec::new();
        for (index, one) in refs.iter().enumerate() {
            entries.extend((0..sentences(one)).map(|sentence| (index, sentence)));
        }
        some(&name, &entries)?;
        Ok(Self {
            name,
            images,
            file,
            refs,
            entries,
        })
    }

    /// Number of items.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Reference and sentence of an item.
    ///
    /// # Errors
    /// When there is no such item.
    pub(super) fn entry(&self, index: usize) -> Result<(&R, usize)> {
        let &(at, sentence) = entry(&self.name, &self.entries, index)?;
        Ok((&self.refs[at], sentence))
    }

    /// Picture of an item, and the reference that it is about.
    ///
    /// # Errors
    /// When there is no such item, or the file lacks its picture.
    pub(super) fn subject(&self, index: usize) -> Result<Subject> {
        let &(at, _) = entry(&self.name, &self.entries, index)?;
        let image_id = self.refs[at].image_id();
        self.file.subject(image_id, &self.images, at)
    }

    /// Files of all pictures.
    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        let images = self
            .refs
            .iter()
            .filter_map(|one| self.file.image(one.image_id()).ok());
        images.map(|image| image.path_in(&self.images)).collect()
    }
}
