//! COCO's annotation file, which several data sets share.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::annotation_id::AnnotationId;
use super::error::{Error, Result};
use super::files;
use super::item::{Subject, corners};
use super::shape::{Segmentation, Shape};

/// Prefix of picture names in COCO's release of 2014, which that of 2017 lacks.
const PREFIX_OF_2014: &str = "COCO_train2014_";

/// A picture of the file.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CocoImage {
    /// Number of the picture.
    pub id: i64,
    /// Name, relative to the folder of pictures.
    pub file_name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl CocoImage {
    /// Width and height.
    pub(crate) fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    /// Where the picture is in a folder. COCO's release of 2017 has the pictures of 2014 under
    /// their numbers alone: such a name counts where the file's own is not there.
    pub(super) fn path_in(&self, folder: &Path) -> PathBuf {
        let path = folder.join(&self.file_name);
        let number = self.file_name.strip_prefix(PREFIX_OF_2014);
        match number.map(|name| folder.join(name)) {
            Some(renamed) if !path.is_file() && renamed.is_file() => renamed,
            _ => path,
        }
    }
}

/// One thing in one picture.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CocoAnnotation {
    /// Its identifier.
    pub id: AnnotationId,
    /// The picture.
    pub image_id: i64,
    /// Its category.
    pub category_id: i64,
    /// Its mask.
    #[serde(deserialize_with = "shared")]
    pub segmentation: Arc<Segmentation>,
    /// `[x, y, width, height]` in pixels.
    #[serde(default)]
    pub bbox: [f64; 4],
    /// Whether it is a crowd that was not told apart.
    #[serde(default)]
    pub iscrowd: u8,
    /// Pixels of the mask, when the file says it.
    #[serde(default)]
    pub area: Option<f64>,
}

impl CocoAnnotation {
    /// The mask, not rasterised yet.
    pub(crate) fn shape(&self) -> Shape {
        Shape::Coco(self.segmentation.clone())
    }

    /// The box as corners `[x0, y0, x1, y1]`.
    pub(crate) fn corners(&self) -> [f64; 4] {
        corners(self.bbox)
    }

    /// Pixels of the mask: as the file says, or else counted.
    pub(super) fn pixels(&self, size: [u32; 2]) -> Result<f64> {
        match self.area {
            Some(area) => Ok(area),
            None => self.shape().area(size),
        }
    }
}

/// Segmentations are shared with the items made of them.
fn shared<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Segmentation>, D::Error> {
    Segmentation::deserialize(from).map(Arc::new)
}

#[derive(Debug, Deserialize)]
struct Category {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct Document {
    images: Vec<CocoImage>,
    annotations: Vec<CocoAnnotation>,
    categories: Vec<Category>,
}

/// An annotation file.
#[derive(Debug)]
pub struct CocoFile {
    path: PathBuf,
    images: BTreeMap<i64, CocoImage>,
    annotations: Vec<CocoAnnotation>,
    by_id: HashMap<AnnotationId, usize>,
    by_image: BTreeMap<i64, Vec<usize>>,
    categories: BTreeMap<i64, String>,
}

impl CocoFile {
    /// Reads `instances.json` and its like.
    ///
    /// # Errors
    /// When the file is not of COCO's form, or an annotation is of a picture or category that it
    /// lacks.
    pub fn open(path: &Path) -> Result<Self> {
        let document: Document = files::json(path)?;
        let images: BTreeMap<_, _> = document.images.into_iter().map(|i| (i.id, i)).collect();
        let categories: BTreeMap<_, _> = document
            .categories
            .into_iter()
            .map(|category| (category.id, category.name))
            .collect();
        let mut by_image: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        let mut by_id = HashMap::with_capacity(document.annotations.len());
        for (index, annotation) in document.annotations.iter().enumerate() {
            let CocoAnnotation {
                id,
                image_id,
                category_id,
                ..
            } = annotation;
            if !images.contains_key(image_id) {
                let reason =
                    format!("annotation {id} is of picture {image_id}, which is not listed");
                return Err(Error::format(path, reason));
            }
            if !categories.contains_key(category_id) {
                let reason =
                    format!("annotation {id} is of category {category_id}, which is not listed");
                return Err(Error::format(path, reason));
            }
            by_image.entry(*image_id).or_default().push(index);
            by_id.insert(*id, index);
        }
        Ok(Self {
            path: path.to_owned(),
            images,
            annotations: document.annotations,
            by_id,
            by_image,
            categories,
        })
    }

    /// The pictures by number.
    pub(crate) fn images(&self) -> &BTreeMap<i64, CocoImage> {
        &self.images
    }

    /// The names of the categories by number.
    pub(crate) fn categories(&self) -> &BTreeMap<i64, String> {
        &self.categories
    }

    /// All annotations, in the order of the file.
    pub(crate) fn annotations(&self) -> &[CocoAnnotation] {
        &self.annotations
    }

    /// An annotation by its id.
    ///
    /// # Errors
    /// When the file lists no such annotation.
    pub(crate) fn annotation(&self, id: AnnotationId) -> Result<&CocoAnnotation> {
        let index = self
            .by_id
            .get(&id)
            .ok_or_else(|| Error::format(&self.path, format!("annotation {id} is not listed")))?;
        Ok(&self.annotations[*index])
    }

    /// A picture by number.
    ///
    /// # Errors
    /// When the file lists no picture of this number.
    pub(crate) fn image(&self, id: i64) -> Result<&CocoImage> {
        let image = self.images.get(&id);
        image.ok_or_else(|| Error::format(&self.path, format!("picture {id} is not listed")))
    }

    /// A thing in a picture, whose file is in `folder`.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub(super) fn subject(&self, image_id: i64, folder: &Path, thing: usize) -> Result<Subject> {
        let image = self.image(image_id)?.path_in(folder);
        Ok(Subject { image, thing })
    }

    /// The annotations of a picture, in the order of the file.
    pub(crate) fn of_image(&self, id: i64) -> impl Iterator<Item = &CocoAnnotation> {
        let indices = self.by_image.get(&id).into_iter().flatten();
        indices.map(|&index| &self.annotations[index])
    }

    /// The name of a category.
    pub(crate) fn category(&self, id: i64) -> &str {
        self.categories.get(&id).map_or("", String::as_str)
    }
}
