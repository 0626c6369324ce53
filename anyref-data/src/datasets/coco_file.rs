//! COCO's annotation file, whose format several data sets share.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::annotation_id::AnnotationId;
use super::error::{Error, Result};
use super::files;
use super::item::{Subject, corners};
use super::shape::{Segmentation, Shape};

/// Prefix of file names in COCO's release of 2014, absent from the release of 2017.
const PREFIX_OF_2014: &str = "COCO_train2014_";

/// Entry of a picture.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CocoImage {
    /// Number of the picture.
    pub id: i64,
    /// File name, relative to the folder of pictures.
    pub file_name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl CocoImage {
    /// Width and height in pixels.
    pub(crate) fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    /// Path of the picture in `folder`. COCO's release of 2017 has the pictures of 2014 under their
    /// bare numbers: the shorter name is taken where the file's own does not exist.
    pub(super) fn path_in(&self, folder: &Path) -> PathBuf {
        let path = folder.join(&self.file_name);
        let number = self.file_name.strip_prefix(PREFIX_OF_2014);
        match number.map(|name| folder.join(name)) {
            Some(renamed) if !path.is_file() && renamed.is_file() => renamed,
            _ => path,
        }
    }
}

/// Annotation of one instance in one picture.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CocoAnnotation {
    /// Identifier of the annotation.
    pub id: AnnotationId,
    /// Number of the picture.
    pub image_id: i64,
    /// Number of the category.
    pub category_id: i64,
    /// Segmentation, shared with the items made of it.
    #[serde(deserialize_with = "shared")]
    pub segmentation: Arc<Segmentation>,
    /// Bounding box `[x, y, width, height]` in pixels.
    #[serde(default)]
    pub bbox: [f64; 4],
    /// 1 for a crowd whose instances are not separated, 0 otherwise.
    #[serde(default)]
    pub iscrowd: u8,
    /// Area of the mask in pixels, when the file gives it.
    #[serde(default)]
    pub area: Option<f64>,
}

impl CocoAnnotation {
    /// Mask, not rasterised yet.
    pub(crate) fn shape(&self) -> Shape {
        Shape::Coco(self.segmentation.clone())
    }

    /// Bounding box as corners `[x0, y0, x1, y1]`.
    pub(crate) fn corners(&self) -> [f64; 4] {
        corners(self.bbox)
    }

    /// Number of pixels of the mask: the file's own figure, or else counted.
    pub(super) fn pixels(&self, size: [u32; 2]) -> Result<f64> {
        match self.area {
            Some(area) => Ok(area),
            None => self.shape().area(size),
        }
    }
}

/// Reads a segmentation into an `Arc`, shared with the items made of it.
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

/// Annotation file, indexed by annotation and by picture.
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
    /// Reads `instances.json` or a file of the same format.
    ///
    /// # Errors
    /// When the file does not have COCO's format, or an annotation names a picture or category that
    /// the file lacks.
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

    /// Pictures by number.
    pub(crate) fn images(&self) -> &BTreeMap<i64, CocoImage> {
        &self.images
    }

    /// Names of the categories by number.
    pub(crate) fn categories(&self) -> &BTreeMap<i64, String> {
        &self.categories
    }

    /// Annotations in the order of the file.
    pub(crate) fn annotations(&self) -> &[CocoAnnotation] {
        &self.annotations
    }

    /// Annotation with the identifier `id`.
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

    /// Picture with the number `id`.
    ///
    /// # Errors
    /// When the file lists no picture of this number.
    pub(crate) fn image(&self, id: i64) -> Result<&CocoImage> {
        let image = self.images.get(&id);
        image.ok_or_else(|| Error::format(&self.path, format!("picture {id} is not listed")))
    }

    /// Subject `thing` in a picture whose file is in `folder`.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub(super) fn subject(&self, image_id: i64, folder: &Path, thing: usize) -> Result<Subject> {
        let image = self.image(image_id)?.path_in(folder);
        Ok(Subject { image, thing })
    }

    /// Annotations of a picture in the order of the file.
    pub(crate) fn of_image(&self, id: i64) -> impl Iterator<Item = &CocoAnnotation> {
        let indices = self.by_image.get(&id).into_iter().flatten();
        indices.map(|&index| &self.annotations[index])
    }

    /// Name of a category, empty when the file lists none.
    pub(crate) fn category(&self, id: i64) -> &str {
        self.categories.get(&id).map_or("", String::as_str)
    }
}
