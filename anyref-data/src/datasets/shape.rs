//! Masks as data sets write them, rasterised when needed.

use std::path::PathBuf;
use std::sync::Arc;

use anyref_decoder::rle::{Merge, Rle};
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::label_map::{LabelMap, Which};
use super::polygons;
use crate::scenes::Mask;

/// A mask that is not rasterised yet. Copies are cheap.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// As COCO's annotations have it.
    Coco(Arc<Segmentation>),
    /// Pixels of a picture.
    Pixels(Pixels),
    /// All of several.
    Union(Vec<Shape>),
    /// Visible pixels of several that lie one on the other, the first at the bottom: of each
    /// whether it belongs to the mask.
    Layers(Vec<(Shape, bool)>),
}

/// Pixels of a mask picture or label map.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// The picture.
    pub path: PathBuf,
    /// Which of its pixels.
    pub which: Which,
}

/// COCO's three forms of a segmentation, and RefCLEF's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Segmentation {
    /// Polygons `x0, y0, x1, y1, ...` in pixels, whose union it is.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths.
    Runs(RunLengths),
    /// Run lengths of segments, whose union it is.
    Segments(Vec<RunLengths>),
}

/// Lengths of runs, off first, column by column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLengths {
    /// Height and width.
    pub size: [usize; 2],
    /// Numbers, or COCO's string.
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
    /// The mask in a picture of `[width, height]`.
    ///
    /// # Errors
    /// When run lengths are of another size than the picture, damaged or do not cover it exactly,
    /// when a polygon has too few points or coordinates that no picture has, or when the picture is
    /// beyond [`MAX_PIXELS`](anyref_decoder::rle::MAX_PIXELS).
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
    /// A shape of COCO's form.
    pub fn coco(segmentation: Segmentation) -> Self {
        Self::Coco(Arc::new(segmentation))
    }

    /// One shape of several.
    pub(super) fn union(mut shapes: Vec<Shape>) -> Self {
        match shapes.len() {
            1 => shapes.remove(0),
            _ => Self::Union(shapes),
        }
    }

    /// The mask in a picture of `[width, height]`.
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

    /// Files that hold pixels of it.
    pub(super) fn files(&self) -> Vec<&PathBuf> {
        match self {
            Self::Coco(_) => Vec::new(),
            Self::Pixels(pixels) => vec![&pixels.path],
            Self::Union(shapes) => shapes.iter().flat_map(Self::files).collect(),
            Self::Layers(layers) => layers.iter().flat_map(|(shape, _)| shape.files()).collect(),
        }
    }

    /// Number of pixels.
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
