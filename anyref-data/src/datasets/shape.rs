//! Masks in the data sets' own forms, rasterised on demand.

use std::path::PathBuf;
use std::sync::Arc;

use anyref_decoder::rle::{Merge, Rle};
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::label_map::{LabelMap, Which};
use super::polygons;
use crate::scenes::Mask;

/// Mask that is not rasterised yet. Cloning is cheap.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// COCO's segmentation.
    Coco(Arc<Segmentation>),
    /// Pixels of a picture file.
    Pixels(Pixels),
    /// Union of shapes.
    Union(Vec<Shape>),
    /// Visible pixels of stacked shapes, the lowest first, each with whether it belongs to the
    /// mask.
    Layers(Vec<(Shape, bool)>),
}

/// Pixels of a mask picture or label map.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// Path of the picture.
    pub path: PathBuf,
    /// Selection of its pixels.
    pub which: Which,
}

/// Segmentation in COCO's three forms, or RefCLEF's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Segmentation {
    /// Union of polygons `x0, y0, x1, y1, ...` in pixels.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths.
    Runs(RunLengths),
    /// Union of segments in run lengths.
    Segments(Vec<RunLengths>),
}

/// Run lengths, starting with background, column by column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLengths {
    /// Height and width.
    pub size: [usize; 2],
    /// Plain numbers, or COCO's compressed string.
    pub counts: Counts,
}

/// Run lengths, plain or compressed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Counts {
    /// COCO's compressed string.
    Compressed(String),
    /// Numbers.
    Plain(Vec<u32>),
}

impl Segmentation {
    /// Rasterises the mask in a picture of `[width, height]`.
    ///
    /// # Errors
    /// When run lengths have another size than the picture, are damaged or do not cover it exactly,
    /// when a polygon has too few points or coordinates out of range, or when the picture is beyond
    /// [`MAX_PIXELS`](anyref_decoder::rle::MAX_PIXELS).
    pub fn to_rle(&self, size: [u32; 2]) -> Result<Rle> {
        let [width, height] = size;
        match self {
            Self::Polygons(list) => polygons::rasterise(list, [height as usize, width as usize]),
            Self::Runs(runs) => runs.to_rle(size),
            Self::Segments(segments) => {
                let masks = segments.iter().map(|segment| segment.to_rle(size));
                let masks = masks.collect::<Result<Vec<_>>>()?;
                Rle::merge(&masks, Merge::Union).map_err(Error::mask)
            }
        }
    }
}

impl RunLengths {
    fn to_rle(&self, size: [u32; 2]) -> Result<Rle> {
        let [h, w] = self
            .size
            .map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        if [w, h] != size {
            return Err(Error::Size {
                mask: [w, h],
                picture: size,
            });
        }
        let rle = match &self.counts {
            Counts::Compressed(string) => Rle::from_compressed(string, self.size),
            Counts::Plain(counts) => Rle::from_counts(counts, self.size),
        };
        rle.map_err(Error::mask)
    }
}

impl Shape {
    /// Wraps a segmentation of COCO's.
    pub fn coco(segmentation: Segmentation) -> Self {
        Self::Coco(Arc::new(segmentation))
    }

    /// Union of `shapes`; a single shape is returned as it is.
    pub(super) fn union(mut shapes: Vec<Shape>) -> Self {
        match shapes.len() {
            1 => shapes.remove(0),
            _ => Self::Union(shapes),
        }
    }

    /// Rasterises the mask in a picture of `[width, height]`.
    ///
    /// # Errors
    /// When the annotation contradicts itself or the picture's size, or its file cannot be read.
    pub fn rasterise(&self, size: [u32; 2]) -> Result<Mask> {
        let [width, height] = size.map(|side| side as usize);
        match self {
            Self::Pixels(pixels) => pixels.rasterise(size),
            Self::Coco(segmentation) => {
                let rle = segmentation.to_rle(size)?;
                Ok(Mask::from_pixels(width, height, rle.to_mask()))
            }
            Self::Union(shapes) => {
                let mut mask = Mask::new(width, height);
                for shape in shapes {
                    mask.union_with(&shape.rasterise(size)?);
                }
                Ok(mask)
            }
            Self::Layers(layers) => {
                let mut mask = Mask::new(width, height);
                for (shape, belongs) in layers {
                    let layer = shape.rasterise(size)?;
                    match belongs {
                        true => mask.union_with(&layer),
                        false => mask.subtract(&layer),
                    }
                }
                Ok(mask)
            }
        }
    }

    /// Files that hold its pixels.
    pub(super) fn files(&self) -> Vec<&PathBuf> {
        match self {
            Self::Coco(_) => Vec::new(),
            Self::Pixels(pixels) => vec![&pixels.path],
            Self::Union(shapes) => shapes.iter().flat_map(Self::files).collect(),
            Self::Layers(layers) => layers.iter().flat_map(|(shape, _)| shape.files()).collect(),
        }
    }

    /// Area in pixels.
    pub(super) fn area(&self, size: [u32; 2]) -> Result<f64> {
        match self {
            Self::Coco(segmentation) => Ok(segmentation.to_rle(size)?.area() as f64),
            _ => Ok(self.rasterise(size)?.area() as f64),
        }
    }
}

impl Pixels {
    fn rasterise(&self, size: [u32; 2]) -> Result<Mask> {
        let map = LabelMap::open(&self.path)?;
        if map.size() != size {
            let error = Error::Size {
                mask: map.size(),
                picture: size,
            };
            return Err(Error::picture(&self.path, error));
        }
        Ok(map.mask(self.which))
    }
}
