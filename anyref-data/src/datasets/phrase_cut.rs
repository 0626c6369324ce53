//! PhraseCut: phrases that name regions of Visual Genome's pictures.
//!
//! ```text
//! ROOT/refer_train.json                     phrases and polygons; also val, miniv and test
//! ROOT/image_data_split.json                sizes
//! ROOT/images/                              pictures
//! ```
//!
//! Polygons are filled as COCO's are. The data set's own tool draws them with Pillow, which also
//! covers the pixels touched by the outline.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::annotation_id::AnnotationId;
use super::dataset::{Dataset, entry, some};
use super::error::{Error, Result};
use super::files;
use super::item::{Grouping, Item, Reference, Task};
use super::shape::{Segmentation, Shape};

#[derive(Deserialize)]
struct Picture {
    image_id: i64,
    width: u32,
    height: u32,
}

#[derive(Deserialize)]
struct Line {
    task_id: String,
    image_id: i64,
    phrase: String,
    /// Polygons as points, nested by instance, polygon and point.
    #[serde(rename = "Polygons")]
    polygons: Vec<Vec<Vec<[f64; 2]>>>,
    #[serde(default)]
    ann_ids: Vec<AnnotationId>,
}

#[derive(Debug)]
struct Entry {
    id: String,
    image: i64,
    phrase: String,
    shapes: Vec<Shape>,
    annotations: Vec<AnnotationId>,
}

/// One question for each phrase.
#[derive(Debug)]
pub(crate) struct PhraseCut {
    name: String,
    images: PathBuf,
    sizes: HashMap<i64, [u32; 2]>,
    entries: Vec<Entry>,
    grouping: Grouping,
}

impl PhraseCut {
    /// Opens `train`, `val`, `miniv` or `test`.
    ///
    /// # Errors
    /// When the annotations cannot be read, or name a picture that is not listed.
    pub(crate) fn open(root: &Path, split: &str, grouping: Grouping) -> Result<Self> {
        let pictures: Vec<Picture> = files::json(&root.join("image_data_split.json"))?;
        let sizes: HashMap<i64, [u32; 2]> = pictures
            .into_iter()
            .map(|p| (p.image_id, [p.width, p.height]))
            .collect();
        let path = root.join(format!("refer_{split}.json"));
        let lines: Vec<Line> = files::json(&path)?;
        let mut entries = Vec::with_capacity(lines.len());
        for line in lines {
            if !sizes.contains_key(&line.image_id) {
                let (task, image) = (&line.task_id, line.image_id);
                let reason = format!("{task} is of picture {image}, which is not listed");
                return Err(Error::format(&path, reason));
            }
            let shapes = line.polygons.into_iter().map(thing).collect();
            entries.push(Entry {
                id: line.task_id,
                image: line.image_id,
                phrase: line.phrase,
                shapes,
                annotations: line.ann_ids,
            });
        }
        let name = format!("PhraseCut {split}");
        some(&name, &entries)?;
        Ok(Self {
            name,
            images: root.join("images"),
            sizes,
            entries,
            grouping,
        })
    }

    fn path(&self, image: i64) -> PathBuf {
        self.images.join(format!("{image}.jpg"))
    }
}

/// Shape of one instance's polygons; those with less than three points have no area.
fn thing(polygons: Vec<Vec<[f64; 2]>>) -> Shape {
    let polygons = polygons.into_iter().filter(|points| points.len() > 2);
    let flat = polygons.map(|points| points.into_iter().flatten().collect());
    Shape::coco(Segmentation::Polygons(flat.collect()))
}

impl Dataset for PhraseCut {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn item(&self, index: usize, _draw: u64) -> Result<Item> {
        let line = entry(&self.name, &self.entries, index)?;
        let size = self.sizes[&line.image];
        let mut item = Item::new(&line.id, self.path(line.image), size, Task::Text);
        item.references.push(Reference::Text(line.phrase.clone()));
        item.targets = self.grouping.targets(&line.phrase, line.shapes.clone());
        item.annotations.clone_from(&line.annotations);
        Ok(item)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        self.entries
            .iter()
            .map(|line| self.path(line.image))
            .collect()
    }
}
