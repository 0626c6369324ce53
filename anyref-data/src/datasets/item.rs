//! Items that readers give: a picture, references, and targets.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::annotation_id::AnnotationId;
use super::error::Result;
use super::shape::Shape;
use crate::scenes::Mask;

/// Kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Referring expression to masks.
    Text,
    /// Box to a description.
    Describe,
    /// Picture of an object to a mask of its category.
    Image,
    /// Sound to the mask of its source.
    Audio,
    /// Class name to all of its pixels.
    Semantic,
}

/// Part of a picture, serialised as its area alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 4]", into = "[f64; 4]")]
pub struct Region {
    /// Box `[x0, y0, x1, y1]` in pixels, the far edges exclusive.
    pub area: [f64; 4],
    /// Mask of the object, when the background is to be blacked out.
    pub mask: Option<Shape>,
}

impl From<[f64; 4]> for Region {
    fn from(area: [f64; 4]) -> Self {
        Self { area, mask: None }
    }
}

impl From<Region> for [f64; 4] {
    fn from(region: Region) -> Self {
        region.area
    }
}

/// Reference as a file states it; [`Item::open_reference`] turns it into a model's reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// Phrase.
    Text(String),
    /// Box `[x0, y0, x1, y1]` in pixels of the picture, the far edges exclusive.
    Box([f64; 4]),
    /// Another picture, or part of it.
    Image {
        /// The picture.
        path: PathBuf,
        /// Width and height, when the data set states them.
        #[serde(skip)]
        size: Option<[u32; 2]>,
        /// Region of the picture; `None` for the whole.
        #[serde(rename = "area", default, skip_serializing_if = "Option::is_none")]
        region: Option<Region>,
    },
    /// Sound file.
    Audio(PathBuf),
}

/// Target of one `<obj>` of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Words before the `<obj>`; empty when the data set has none.
    pub phrase: String,
    /// Mask of the target.
    pub shape: Shape,
}

/// Subject of an item. Items with the same subject ask about the same object in other words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Path of the picture.
    pub image: PathBuf,
    /// Number of the object in the picture, in the data set's own numbering.
    pub thing: usize,
}

/// One question about one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Identifier in the data set.
    pub id: String,
    /// Path of the picture.
    pub image: PathBuf,
    /// Width and height of the picture in pixels.
    pub size: [u32; 2],
    /// Kind of question.
    pub task: Task,
    /// References in the order of the question.
    pub references: Vec<Reference>,
    /// Targets in the order of the answer; none when the object is absent.
    pub targets: Vec<Target>,
    /// All expressions known for a described region; empty for other tasks.
    pub expressions: Vec<String>,
    /// Identifiers of the targets' annotations.
    pub annotations: Vec<AnnotationId>,
    /// Pixels that count neither as hits nor as misses.
    pub ignore: Option<Shape>,
    /// Class that is asked for, when scores are by class.
    pub category: Option<String>,
    /// Video that the picture is a frame of, when scores are by video.
    pub video: Option<String>,
    /// Question given with the item; `{1}`, `{2}` stand for the references.
    pub question: Option<String>,
    /// Answer given with the item, with one `<obj>` a target.
    pub answer: Option<String>,
}

impl Item {
    /// Item without references and targets.
    pub(super) fn new(id: impl ToString, image: PathBuf, size: [u32; 2], task: Task) -> Self {
        Self {
            id: id.to_string(),
            image,
            size,
            task,
            references: Vec::new(),
            targets: Vec::new(),
            expressions: Vec::new(),
            annotations: Vec::new(),
            ignore: None,
            category: None,
            video: None,
            question: None,
            answer: None,
        }
    }

    /// Masks of the targets, in the picture's size.
    ///
    /// # Errors
    /// When the mask of a target cannot be rasterised, as in [`Shape::rasterise`].
    pub fn masks(&self) -> Result<Vec<Mask>> {
        let masks = self.targets.iter().map(|t| t.shape.rasterise(self.size));
        masks.collect()
    }

    /// Every file that the item needs.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.image.clone()];
        let mut shapes: Vec<&Shape> = self.targets.iter().map(|t| &t.shape).collect();
        shapes.extend(&self.ignore);
        for reference in &self.references {
            match reference {
                Reference::Image { path, region, .. } => {
                    files.push(path.clone());
                    shapes.extend(region.iter().filter_map(|r| r.mask.as_ref()));
                }
                Reference::Audio(path) => files.push(path.clone()),
                Reference::Text(_) | Reference::Box(_) => {}
            }
        }
        files.extend(shapes.into_iter().flat_map(Shape::files).cloned());
        files
    }
}

/// Grouping of several instances that one phrase names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// One target, the union of all.
    #[default]
    Merged,
    /// One target an instance.
    Each,
}

impl Grouping {
    /// Targets of one phrase.
    pub(super) fn targets(self, phrase: &str, shapes: Vec<Shape>) -> Vec<Target> {
        let target = |shape| Target {
            phrase: phrase.to_owned(),
            shape,
        };
        match self {
            Self::Merged if shapes.is_empty() => Vec::new(),
            Self::Merged => vec![target(Shape::union(shapes))],
            Self::Each => shapes.into_iter().map(target).collect(),
        }
    }
}

/// Converts `[x, y, width, height]` to corners `[x0, y0, x1, y1]`.
pub(super) fn corners([x, y, width, height]: [f64; 4]) -> [f64; 4] {
    [x, y, x + width, y + height]
}
