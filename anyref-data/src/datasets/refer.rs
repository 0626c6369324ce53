//! RefCLEF, RefCOCO, RefCOCO+ and RefCOCOg, by the rules of the REFER API.
//!
//! ```text
//! ROOT/refcoco/refs(unc).p                  references and their sentences
//! ROOT/refcoco/instances.json               pictures and masks
//! ROOT/images/mscoco/images/train2014/      pictures (RefCLEF: ROOT/images/saiapr_tc-12/)
//! ```
//!
//! COCO's pictures may also be those of `train2017`, which have other names: `000000000009.jpg` for
//! `COCO_train2014_000000000009.jpg`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyref_weights::read_plain_pickle;
use serde::Deserialize;

use super::annotation_id::AnnotationId;
use super::coco_file::{CocoAnnotation, CocoFile, CocoImage};
use super::dataset::Dataset;
use super::error::{Error, Result};
use super::item::{Item, Reference, Subject, Target, Task};
use super::reference_list::{PictureReference, ReferenceList};

/// Sentence about an instance.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Sentence {
    pub(super) sent_id: i64,
    pub(super) sent: String,
}

#[derive(Debug, Deserialize)]
struct Ref {
    ref_id: i64,
    ann_id: AnnotationId,
    image_id: i64,
    split: String,
    sentences: Vec<Sentence>,
}

/// Direction of the questions made of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Each sentence to the mask of its referent.
    Segment,
    /// Box of the instance to any of its sentences.
    Describe,
}

/// Data set, split and direction.
#[derive(Clone, Debug)]
pub(crate) struct ReferOptions {
    /// `refclef`, `refcoco`, `refcoco+` or `refcocog`.
    pub dataset: String,
    /// Author of the split: `unc`, `umd`, `google` or `berkeley`.
    pub split_by: String,
    /// `train`, `val`, `test`, `testA`, `testB` or `testC`.
    pub split: String,
    /// Direction of the questions.
    pub direction: Direction,
    /// Folder of the pictures, when it is not in REFER's layout.
    pub images: Option<PathBuf>,
}

impl ReferOptions {
    /// Options for expressions to masks, with the pictures in REFER's layout.
    pub(crate) fn new(dataset: &str, split_by: &str, split: &str) -> Self {
        Self {
            dataset: dataset.to_owned(),
            split_by: split_by.to_owned(),
            split: split.to_owned(),
            direction: Direction::Segment,
            images: None,
        }
    }
}

/// Sentences, or boxes, of one split.
#[derive(Debug)]
pub(crate) struct Refer {
    list: ReferenceList<Ref>,
    direction: Direction,
}

impl PictureReference for Ref {
    fn image_id(&self) -> i64 {
        self.image_id
    }
}

impl Refer {
    /// Opens a data set under REFER's data folder.
    ///
    /// # Errors
    /// When the annotations cannot be read, are inconsistent, or have no such split.
    pub(crate) fn open(root: &Path, options: &ReferOptions) -> Result<Self> {
        let ReferOptions {
            dataset,
            split_by,
            split,
            direction,
            ..
        } = options;
        let name = format!("{dataset}({split_by}) {split}");
        let folder = root.join(dataset);
        let path = folder.join(format!("refs({split_by}).p"));
        let mut refs: Vec<Ref> = read_plain_pickle(&path)?;
        let known: BTreeSet<String> = refs.iter().map(|r| r.split.clone()).collect();
        refs.retain(|r| in_split(&r.split, split));
        if refs.is_empty() {
            return Err(Error::Split {
                dataset: format!("{dataset}({split_by})"),
                split: split.clone(),
                known: known.into_iter().collect::<Vec<_>>().join(", "),
            });
        }
        let file = CocoFile::open(&folder.join("instances.json"))?;
        for r in &refs {
            file.annotation(r.ann_id)?;
            file.image(r.image_id)?;
        }
        let images = options.images.clone();
        let images = images.unwrap_or_else(|| root.join(images_folder(dataset)));
        let sentences = |r: &Ref| match direction {
            Direction::Segment => r.sentences.len(),
            Direction::Describe => 1,
        };
        Ok(Self {
            list: ReferenceList::new(name, images, file, refs, sentences)?,
            direction: *direction,
        })
    }

    fn parts(&self, r: &Ref) -> Result<(&CocoImage, &CocoAnnotation)> {
        Ok((
            self.list.file.image(r.image_id)?,
            self.list.file.annotation(r.ann_id)?,
        ))
    }
}

impl Dataset for Refer {
    fn name(&self) -> &str {
        &self.list.name
    }

    fn len(&self) -> usize {
        self.list.len()
    }

    fn item(&self, index: usize, _draw: u64) -> Result<Item> {
        let (r, sentence) = self.list.entry(index)?;
        let (image, annotation) = self.parts(r)?;
        let path = image.path_in(&self.list.images);
        let mut item = match self.direction {
            Direction::Segment => {
                let Sentence { sent_id, sent } = &r.sentences[sentence];
                let id = format!("{}/{sent_id}", r.ref_id);
                let mut item = Item::new(id, path, image.size(), Task::Text);
                item.references.push(Reference::Text(sent.clone()));
                item.targets.push(Target {
                    phrase: sent.clone(),
                    shape: annotation.shape(),
                });
                item
            }
            Direction::Describe => {
                let mut item = Item::new(r.ref_id, path, image.size(), Task::Describe);
                item.references.push(Reference::Box(annotation.corners()));
                item.expressions = r.sentences.iter().map(|s| s.sent.clone()).collect();
                item.targets.push(Target {
                    phrase: String::new(),
                    shape: annotation.shape(),
                });
                item
            }
        };
        item.annotations.push(annotation.id);
        Ok(item)
    }

    fn subject(&self, index: usize) -> Result<Subject> {
        self.list.subject(index)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        self.list.files()
    }
}

/// Folder of the pictures in REFER's layout.
pub(super) fn images_folder(dataset: &str) -> &'static str {
    match dataset {
        "refclef" => "images/saiapr_tc-12",
        _ => "images/mscoco/images/train2014",
    }
}

/// Returns whether a reference of the split `own` belongs to `wanted`: REFER's `testA` is every
/// split with an A in its name (RefCLEF has `testAB` and others), and `test` every split with
/// `test` in it.
fn in_split(own: &str, wanted: &str) -> bool {
    match wanted {
        "testA" | "testB" | "testC" => own.contains(&wanted[4..]),
        "test" => own.contains("test"),
        _ => own == wanted,
    }
}
