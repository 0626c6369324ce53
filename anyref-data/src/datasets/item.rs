//! Items that readers give: a picture, references, and the answer.

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
    /// An expression to the masks of what it refers to.
    Text,
    /// A box to words.
    Describe,
    /// A picture of a thing to the mask of such a thing.
    Image,
    /// A sound to the mask of what makes it.
    Audio,
    /// The name of a class to all that belongs to it.
    Semantic,
}

/// Part of a picture; written as its area alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 4]", into = "[f64; 4]")]
pub struct Region {
    /// `[x0, y0, x1, y1]` in pixels, the far edges exclusive.
    pub area: [f64; 4],
    /// The thing itself, where the background is to be blacked out.
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

/// Reference as a file has it; [`Item::open_reference`] makes one of it that a model takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// A phrase.
    Text(String),
    /// `[x0, y0, x1, y1]` in pixels of the picture, the far edges exclusive.
    Box([f64; 4]),
    /// Another picture, or part of it.
    Image {
        /// The picture.
        path: PathBuf,
        /// Width and height of it, where the data set says them.
        #[serde(skip)]
        size: Option<[u32; 2]>,
        /// The part; the whole without.
        #[serde(rename = "area", default, skip_serializing_if = "Option::is_none")]
        region: Option<Region>,
    },
    /// A sound.
    Audio(PathBuf),
}

/// Target of one `<obj>` of the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Words before the `<obj>`; empty when the data set has none.
    pub phrase: String,
    /// Its mask.
    pub shape: Shape,
}

/// Subject of an item. Items of the same subject ask for the same thing in other words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The picture.
    pub image: PathBuf,
    /// Which thing in the picture, by a number of the data set's own.
    pub thing: usize,
}

/// One question about one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Which it is in its data set.
    pub id: String,
    /// The picture.
    pub image: PathBuf,
    /// Width and height of the picture.
    pub size: [u32; 2],
    /// Kind of question.
    pub task: Task,
    /// References, in order.
    pub references: Vec<Reference>,
    /// Targets of the answer, in order; none when the thing is not there.
    pub targets: Vec<Target>,
    /// All expressions known for what is described; empty for other tasks.
    pub expressions: Vec<String>,
    /// Ids of the annotations of the targets.
    pub annotations: Vec<AnnotationId>,
    /// Pixels that do not count, neither as found nor as missed.
    pub ignore: Option<Shape>,
    /// The class that is asked for, where scores are by class.
    pub category: Option<String>,
    /// The video of which the picture is a frame, where scores are by video.
    pub video: Option<String>,
    /// A question given with the item; `{1}`, `{2}` stand where the references go.
    pub question: Option<String>,
    /// An answer given with the item, with one `<obj>` a target.
    pub answer: Option<String>,
}

impl Item {
    /// An item without references and answer.
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

    /// The mask of each target, in the picture's size.
    ///
    /// # Errors
    /// When the mask of a target cannot be rasterised, as [`Shape::rasterise`] says.
    pub fn masks(&self) -> Result<Vec<Mask>> {
        let masks = self.targets.iter().map(|t| t.shape.rasterise(self.size));
        masks.collect()
    }

    /// Every file the item needs.
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

/// How several things of one phrase are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// One target with their union.
    #[default]
    Merged,
    /// A target each.
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

/// `[x, y, width, height]` as corners.
pub(super) fn corners([x, y, width, height]: [f64; 4]) -> [f64; 4] {
    [x, y, x + width, y + height]
}
