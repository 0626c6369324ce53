//! Common interface of all readers.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::error::{Error, Result};
use super::item::{Item, Subject};

/// Items by index. Readers are shared between loader threads.
pub trait Dataset: Send + Sync {
    /// Name in messages.
    fn name(&self) -> &str;

    /// Number of items.
    fn len(&self) -> usize;

    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An item. Where something is left to chance, such as which class is asked for or which
    /// picture refers to it, `draw` decides: the same index and draw give the same item.
    ///
    /// # Errors
    /// When there is no item of this index, a file that is read for it is missing or damaged, its
    /// annotation names what the file does not list or contradicts the picture, or nothing is left
    /// to ask or to refer with.
    fn item(&self, index: usize, draw: u64) -> Result<Item>;

    /// Subject of an item, by which [`Per::Picture`](super::Per::Picture) puts items together; no
    /// file is opened for it. Data sets say it themselves when their items need files, or when
    /// several items ask for one thing.
    ///
    /// # Errors
    /// When there is no item of this index, or its annotation names what the file does not list.
    fn subject(&self, index: usize) -> Result<Subject> {
        Ok(Subject {
            image: self.item(index, 0)?.image,
            thing: index,
        })
    }

    /// Every file that some item may need; no file is opened for it.
    fn files(&self) -> BTreeSet<PathBuf>;
}

/// The files of a data set that are not there.
pub fn missing_files(dataset: &dyn Dataset) -> Vec<PathBuf> {
    let files = dataset.files().into_iter();
    files.filter(|path| !path.is_file()).collect()
}

/// Refuses a data set some of whose files are missing.
///
/// # Errors
/// [`Error::Missing`] with all of them.
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

/// The entry of an index.
pub(super) fn entry<'t, T>(dataset: &str, entries: &'t [T], index: usize) -> Result<&'t T> {
    entries.get(index).ok_or_else(|| Error::Index {
        dataset: dataset.to_owned(),
        index,
        len: entries.len(),
    })
}

/// Refuses a data set without items.
pub(super) fn some<T>(dataset: &str, entries: &[T]) -> Result<()> {
    match entries.is_empty() {
        true => Err(Error::Nothing {
            dataset: dataset.to_owned(),
        }),
        false => Ok(()),
    }
}
