//! COCO's instances, segmented by the name of their category.
//!
//! ```text
//! ROOT/annotations/instances_train2017.json
//! ROOT/train2017/                           pictures
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::annotation_id::AnnotationId;
use super::coco_file::CocoFile;
use super::dataset::{Dataset, entry, some};
use super::error::Result;
use super::item::{Grouping, Item, Reference, Task};

/// Filters and grouping of COCO's instances.
#[derive(Clone, Debug, Default)]
pub struct CocoOptions {
    /// Grouping of several instances of a category: one target or several.
    pub grouping: Grouping,
    /// Whether crowd annotations are included.
    pub crowds: bool,
    /// Smallest share of the picture that an instance must cover, 0 to 1.
    pub min_area: f64,
    /// Category ids; an empty set selects all.
    pub categories: BTreeSet<i64>,
}

/// One question for each picture and each category in it.
#[derive(Debug)]
pub struct Coco {
    name: String,
    images: PathBuf,
    file: Arc<CocoFile>,
    /// Picture, category and annotations of each item.
    entries: Vec<(i64, i64, Vec<AnnotationId>)>,
    grouping: Grouping,
}

impl Coco {
    /// Opens a split such as `train2017` under COCO's folder.
    ///
    /// # Errors
    /// When the annotations cannot be read, or the options leave nothing.
    pub fn open(root: &Path, split: &str, options: &CocoOptions) -> Result<Self> {
        let file = CocoFile::open(&root.join(annotations_path(split)))?;
        Self::new(
            &format!("COCO {split}"),
            &root.join(split),
            Arc::new(file),
            options,
        )
    }

    /// Builds the data set from an annotation file that is already open.
    ///
    /// # Errors
    /// When the options leave nothing.
    fn new(name: &str, images: &Path, file: Arc<CocoFile>, options: &CocoOptions) -> Result<Self> {
        let mut entries = Vec::new();
        for image in file.images().values() {
            let mut categories: BTreeMap<i64, Vec<AnnotationId>> = BTreeMap::new();
            for annotation in file.of_image(image.id) {
                let wanted = options.categories.is_empty()
                    || options.categories.contains(&annotation.category_id);
                if !wanted || (annotation.iscrowd != 0 && !options.crowds) {
                    continue;
                }
                let share = match options.min_area > 0.0 {
                    true => annotation.pixels(image.size())? / area(image.size()),
                    false => 1.0,
                };
                if share >= options.min_area {
                    let things = categories.entry(annotation.category_id).or_default();
                    things.push(annotation.id);
                }
            }
            let categories = categories.into_iter();
            entries.extend(categories.map(|(category, things)| (image.id, category, things)));
        }
        some(name, &entries)?;
        Ok(Self {
            name: name.to_owned(),
            images: images.to_owned(),
            file,
            entries,
            grouping: options.grouping,
        })
    }
}

impl Dataset for Coco {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn item(&self, index: usize, _draw: u64) -> Result<Item> {
        let (image, category, things) = entry(&self.name, &self.entries, index)?;
        let image = self.file.image(*image)?;
        let id = format!("{}/{category}", image.id);
        let path = self.images.join(&image.file_name);
        let mut item = Item::new(id, path, image.size(), Task::Semantic);
        let phrase = self.file.category(*category);
        item.references.push(Reference::Text(phrase.to_owned()));
        let annotations = things.iter().map(|&id| self.file.annotation(id));
        let shapes = annotations.map(|a| Ok(a?.shape())).collect::<Result<_>>()?;
        item.targets = self.grouping.targets(phrase, shapes);
        item.annotations = things.clone();
        Ok(item)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let images = self
            .entries
            .iter()
            .filter_map(|(id, ..)| self.file.image(*id).ok());
        images
            .map(|image| self.images.join(&image.file_name))
            .collect()
    }
}

/// Path of a split's annotation file, relative to COCO's folder.
pub(super) fn annotations_path(split: &str) -> PathBuf {
    Path::new("annotations").join(format!("instances_{split}.json"))
}

/// Number of pixels of a picture.
pub(super) fn area([width, height]: [u32; 2]) -> f64 {
    f64::from(width) * f64::from(height)
}
