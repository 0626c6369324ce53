//! gRefCOCO: expressions that refer to one instance, several, or none.
//!
//! ```text
//! ROOT/grefcoco/grefs(unc).json             references and their sentences; or grefs(unc).p
//! ROOT/grefcoco/instances.json              pictures and masks
//! ROOT/images/mscoco/images/train2014/      pictures
//! ```
//!
//! COCO's pictures may also be those of `train2017`, which have other names: `000000000009.jpg` for
//! `COCO_train2014_000000000009.jpg`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyref_weights::read_plain_pickle;
use serde::Deserialize;

use super::annotation_id::AnnotationId;
use super::coco_file::CocoFile;
use super::dataset::Dataset;
use super::error::{Error, Result};
use super::files;
use super::item::{Grouping, Item, Reference, Subject, Task};
use super::refer::{Sentence, images_folder};
use super::reference_list::{PictureReference, ReferenceList};

/// Annotation id of an expression that refers to nothing.
const NO_TARGET: i64 = -1;

#[derive(Debug, Deserialize)]
struct Ref {
    ref_id: i64,
    ann_id: OneOrMany,
    image_id: i64,
    split: String,
    sentences: Vec<Sentence>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(AnnotationId),
    Many(Vec<AnnotationId>),
}

impl OneOrMany {
    /// Annotation ids; none when there is no target.
    fn ids(&self) -> impl Iterator<Item = AnnotationId> {
        let ids = match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        };
        ids.iter().copied().filter(|id| *id != NO_TARGET)
    }
}

/// Expressions of one split.
#[derive(Debug)]
pub(crate) struct GRefCoco {
    list: ReferenceList<Ref>,
    grouping: Grouping,
}

impl PictureReference for Ref {
    fn image_id(&self) -> i64 {
        self.image_id
    }
}

impl GRefCoco {
    /// Opens `train`, `val`, `testA` or `testB`. `images` is the folder of COCO's `train2014` or
    /// `train2017`, when it is not in REFER's layout.
    ///
    /// # Errors
    /// When the annotations cannot be read, are inconsistent, or have no such split.
    pub(crate) fn open(
        root: &Path,
        split: &str,
        grouping: Grouping,
        images: Option<PathBuf>,
    ) -> Result<Self> {
        let name = format!("grefcoco(unc) {split}");
        let folder = root.join("grefcoco");
        let pickle = folder.join("grefs(unc).p");
        let mut refs: Vec<Ref> = match pickle.is_file() {
            true => read_plain_pickle(&pickle)?,
            false => files::json(&folder.join("grefs(unc).json"))?,
        };
        let known: BTreeSet<String> = refs.iter().map(|r| r.split.clone()).collect();
        refs.retain(|r| r.split == split);
        if refs.is_empty() {
            return Err(Error::Split {
                dataset: "grefcoco(unc)".to_owned(),
                split: split.to_owned(),
                known: known.into_iter().collect::<Vec<_>>().join(", "),
            });
        }
        let file = CocoFile::open(&folder.join("instances.json"))?;
        for r in &refs {
            file.image(r.image_id)?;
            for id in r.ann_id.ids() {
                file.annotation(id)?;
            }
        }
        let images = images.unwrap_or_else(|| root.join(images_folder("grefcoco")));
        let sentences = |r: &Ref| r.sentences.len();
        Ok(Self {
            list: ReferenceList::new(name, images, file, refs, sentences)?,
            grouping,
        })
    }
}

impl Dataset for GRefCoco {
    fn name(&self) -> &str {
        &self.list.name
    }

    fn len(&self) -> usize {
        self.list.len()
    }

    fn item(&self, index: usize, _draw: u64) -> Result<Item> {
        let (r, sentence) = self.list.entry(index)?;
        let image = self.list.file.image(r.image_id)?;
        let Sentence { sent_id, sent } = &r.sentences[sentence];
        let id = format!("{}/{sent_id}", r.ref_id);
        let path = image.path_in(&self.list.images);
        let mut item = Item::new(id, path, image.size(), Task::Text);
        item.references.push(Reference::Text(sent.clone()));
        let mut shapes = Vec::new();
        for id in r.ann_id.ids() {
            let annotation = self.list.file.annotation(id)?;
            // Crowds are left out, as the data set's own loader does.
            if annotation.iscrowd == 0 {
                shapes.push(annotation.shape());
                item.annotations.push(annotation.id);
            }
        }
        item.targets = self.grouping.targets(sent, shapes);
        Ok(item)
    }

    fn subject(&self, index: usize) -> Result<Subject> {
        self.list.subject(index)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        self.list.files()
    }
}
