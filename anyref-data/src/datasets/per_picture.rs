//! Pictures of a data set, each once, however many items are about it.
//!
//! The authors' loaders count the same way: the next picture is taken, one of its instances is
//! drawn, and one sentence about the instance. Pictures with many sentences are asked about no more
//! often than others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::dataset::{Dataset, entry};
use super::error::Result;
use super::item::{Item, Subject};
use crate::scenes::mix;

/// Tag of these draws, distinct from the draws of items and of their words.
const PICTURE: u64 = 0x0070_6963_7475_7265;

/// Pictures of a data set.
pub(super) struct PerPicture {
    name: String,
    dataset: Arc<dyn Dataset>,
    /// Items about each picture, grouped by instance.
    pictures: Vec<Vec<Vec<usize>>>,
}

impl PerPicture {
    /// Groups the items by picture.
    ///
    /// # Errors
    /// As [`Dataset::subject`].
    pub(super) fn new(dataset: Arc<dyn Dataset>) -> Result<Self> {
        let mut places: HashMap<PathBuf, usize> = HashMap::new();
        // Ordered by first item, independent of the paths.
        let mut pictures: Vec<BTreeMap<usize, Vec<usize>>> = Vec::new();
        for index in 0..dataset.len() {
            let Subject { image, thing } = dataset.subject(index)?;
            let place = *places.entry(image).or_insert(pictures.len());
            if place == pictures.len() {
                pictures.push(BTreeMap::new());
            }
            pictures[place].entry(thing).or_default().push(index);
        }
        let pictures = pictures.into_iter();
        Ok(Self {
            name: format!("{} by picture", dataset.name()),
            pictures: pictures
                .map(|things| things.into_values().collect())
                .collect(),
            dataset,
        })
    }
}

impl Dataset for PerPicture {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn item(&self, index: usize, draw: u64) -> Result<Item> {
        let things = entry(&self.name, &self.pictures, index)?;
        let seed = mix(draw ^ PICTURE);
        let items = drawn(things, seed);
        self.dataset.item(*drawn(items, mix(seed)), draw)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        self.dataset.files()
    }
}

/// One element of a non-empty slice.
fn drawn<T>(of: &[T], seed: u64) -> &T {
    &of[(seed % of.len() as u64) as usize]
}
