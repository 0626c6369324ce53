//! Interface that all readers implement.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::error::{Error, Result};
use super::item::{Item, Subject};

/// Items by index. Loader threads share one reader.
pub trait Dataset: Send + Sync {
    /// Name used in messages.
    fn name(&self) -> &str;

    /// Number of items.
    fn len(&self) -> usize;

    /// Returns whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Item at `index`. `draw` decides every random choice, such as the class or the referring
    /// picture: equal `index` and `draw` give equal items.
    ///
    /// # Errors
    /// When there is no item of this index, a file that it needs is missing or damaged, its
    /// annotation names something that the file does not list or contradicts the picture, or
    /// nothing is left to ask or to refer with.
    fn item(&self, index: usize, draw: u64) -> Result<Item>;

    /// Subject of an item, by which [`Per::Picture`](super::Per::Picture) groups items; opens no
    /// file. Data sets override the default when their items need files, or when several items
    /// ask about one instance.
    ///
    /// # Errors
    /// When there is no item of this index, or its annotation names something that the file does
    /// not list.
    fn subject(&self, index: usize) -> Result<Subject> {
        Ok(Subject {
            image: self.item(index, 0)?.image,
            thing: index,
        })
    }

    /// Every file that some item may need, without opening any.
    fn files(&self) -> BTreeSet<PathBuf>;
}

/// Files of a data set that do not exist.
pub fn missing_files(dataset: &dyn Dataset) -> Vec<PathBuf> {
    let files = dataset.files().into_iter();
    files.filter(|path| !path.is_file()).collect()
}

/// Checks that all files of a data set exist.
///
/// # Errors
/// [`Error::Missing`] with all missing files.
pub fn check_files(dataset: &dyn Dataset) -> Result<()> {
    let files = missing_files(dataset);
    match files.is_empty() {
        true => Ok(()),
        false => Err(Error::Missing {
            dataset: dataset.name().to_owned(),
            files,
        }),
    }
}

/// Entry at `index`, or an [`Error::Index`].
pub(super) fn entry<'t, T>(dataset: &str, entries: &'t [T], index: usize) -> Result<&'t T> {
    entries.get(index).ok_or_else(|| Error::Index {
        dataset: dataset.to_owned(),
        index,
        len: entries.len(),
    })
}

/// Checks that a data set has items.
pub(super) fn some<T>(dataset: &str, entries: &[T]) -> Result<()> {
    match entries.is_empty() {
        true => Err(Error::Nothing {
            dataset: dataset.to_owned(),
        }),
        false => Ok(()),
    }
}
