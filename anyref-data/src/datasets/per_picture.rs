//! Each picture of a data set once, however many items are about it.
//!
//! So the authors' loaders count: a picture is next, of which a thing is drawn, and one of the
//! sentences about that. A picture with many sentences is asked about no more often than others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::dataset::{Dataset, entry};
use super::error::Result;
use super::item::{Item, Subject};
use crate::scenes::mix;

/// Tag of these draws, apart from those of items and their words.
const PICTURE: u64 = 0x0070_6963_7475_7265;

/// The pictures of a data set.
pub(super) struct PerPicture {
    name: String,
    dataset: Arc<dyn Dataset>,
    /// The items about each picture, thing by thing.
    pictures: Vec<Vec<Vec<usize>>>,
}

impl PerPicture {
    /// Puts the items about each picture together.
    ///
    /// # Errors
    /// As [`Dataset::subject`].
    pub(super) fn new(dataset: Arc<dyn Dataset>) -> Result<Self> {
        let mut places: HashMap<PathBuf, usize> = HashMap::new();
        // In the order of their first items, wherever the pictures lie.
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

/// One of some, of which there are any.
fn drawn<T>(of: &[T], seed: u64) -> &T {
    &of[(seed % of.len() as u64) as usize]
}
