//! Prompts for a mask: points, a box, an earlier mask.

use std::fmt;
use std::sync::Arc;

use anyref_decoder::rle::Rle;

use crate::reference::check_box;
use crate::{Error, Result};

/// Point in a picture, on or off the object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Horizontal position in pixels from the left.
    pub x: f32,
    /// Vertical position in pixels from the top.
    pub y: f32,
    /// Set if the point is on the object.
    pub on: bool,
}

/// Logits of a mask from the mask decoder, before they are resized to the picture:
/// [`SamModel::low_res_size`](super::SamModel::low_res_size) squared, in row-major order. Clones
/// share them.
#[derive(Clone, PartialEq)]
pub struct LowResMask(Arc<[f32]>);

impl LowResMask {
    /// Creates a mask from logits in row-major order.
    pub fn new(logits: impl Into<Arc<[f32]>>) -> Self {
        Self(logits.into())
    }

    /// Logits in row-major order.
    pub fn logits(&self) -> &[f32] {
        &self.0
    }
}

impl fmt::Debug for LowResMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LowResMask({} logits)", self.0.len())
    }
}

/// Mask to refine.
#[derive(Debug, Clone, PartialEq)]
pub enum EarlierMask {
    /// Logits of an earlier answer by the same model about the same picture.
    Logits(LowResMask),
    /// Mask of any origin, in the picture's size.
    Pixels(Rle),
}

impl From<LowResMask> for EarlierMask {
    fn from(logits: LowResMask) -> Self {
        Self::Logits(logits)
    }
}

impl From<Rle> for EarlierMask {
    fn from(mask: Rle) -> Self {
        Self::Pixels(mask)
    }
}

/// Prompt for the mask of one object: points and at most one box, in pixels of the picture, and the
/// mask of an earlier answer to refine, in any combination.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MaskPrompt {
    /// Points on and off the object.
    pub points: Vec<Point>,
    /// Box around the object, `[x0, y0, x1, y1]`.
    pub region: Option<[f32; 4]>,
    /// Mask to refine.
    pub mask: Option<EarlierMask>,
}

impl MaskPrompt {
    /// Adds a point, `x` pixels from the left and `y` from the top, on the object or off it.
    pub fn with_point(mut self, x: f32, y: f32, on: bool) -> Self {
        self.points.push(Point { x, y, on });
        self
    }

    /// Sets the box.
    pub fn with_region(mut self, region: [f32; 4]) -> Self {
        self.region = Some(region);
        self
    }

    /// Sets the mask to refine.
    pub fn with_mask(mut self, mask: impl Into<EarlierMask>) -> Self {
        self.mask = Some(mask.into());
        self
    }

    /// Returns whether the prompt may mean several things, a part or the whole, as a single point
    /// does.
    pub fn is_ambiguous(&self) -> bool {
        self.points.len() == 1 && self.region.is_none() && self.mask.is_none()
    }

    /// Checks points, box and mask against a picture of `(width, height)` pixels.
    ///
    /// # Errors
    /// When nothing is given, a point lies outside the picture or is marked both on and off the
    /// object, the box is empty or outside, or the mask does not have the picture's size.
    pub fn fits(&self, (width, height): (u32, u32)) -> Result<()> {
        if self.points.is_empty() && self.region.is_none() && self.mask.is_none() {
            return Err(Error::EmptyMaskPrompt);
        }
        for (index, &Point { x, y, on }) in self.points.iter().enumerate() {
            if !(0.0..width as f32).contains(&x) || !(0.0..height as f32).contains(&y) {
                return Err(Error::Point {
                    x,
                    y,
                    width,
                    height,
                });
            }
            let contradicts = |other: &Point| other.x == x && other.y == y && other.on != on;
            if self.points[..index].iter().any(contradicts) {
                return Err(Error::ContradictoryPoint { x, y });
            }
        }
        if let Some(region) = self.region {
            check_box(region, width, height)?;
        }
        if let Some(EarlierMask::Pixels(mask)) = &self.mask
            && mask.size() != [height as usize, width as usize]
        {
            let [rows, columns] = mask.size().map(|side| side as u32);
            return Err(Error::MaskSize {
                mask: (columns, rows),
                image: (width, height),
            });
        }
        Ok(())
    }

    /// Checks the mask's logits against the side of a model's own.
    pub(super) fn fits_model(&self, side: usize) -> Result<()> {
        let Some(EarlierMask::Logits(mask)) = &self.mask else {
            return Ok(());
        };
        match mask.logits() {
            logits if logits.len() != side * side => Err(Error::MaskPrompt {
                logits: logits.len(),
                side,
            }),
            logits if logits.iter().all(|logit| logit.is_finite()) => Ok(()),
            _ => Err(Error::NotFinite),
        }
    }
}

/// Logit of a cell that lies completely in a mask; one outside has the negative.
const CERTAIN: f32 = 10.0;

impl LowResMask {
    /// Converts a mask given by pixels to logits, for a picture in the upper left `resized` height
    /// and width of a square of `image_size`: each of `side` × `side` cells gets a logit from the
    /// share of the mask in it.
    pub(super) fn of_pixels(
        mask: &Rle,
        [rows, columns]: [usize; 2],
        image_size: usize,
        side: usize,
    ) -> Self {
        let [height, width] = mask.size();
        let pixels = mask.to_mask();
        // First and last pixel of a cell along an axis; inside the picture a cell has at least one.
        let span = |cell: usize, original: usize, resized: usize| {
            let edge = |cell: usize| cell * image_size * original / (side * resized);
            let first = edge(cell);
            (first < original).then(|| first..edge(cell + 1).clamp(first + 1, original))
        };
        let share = |index: usize| {
            let rows = span(index / side, height, rows)?;
            let columns = span(index % side, width, columns)?;
            let inside = rows
                .clone()
                .flat_map(|y| &pixels[y * width..][columns.clone()]);
            let on = inside.filter(|&&on| on).count();
            Some(on as f32 / (rows.len() * columns.len()) as f32)
        };
        let logit = |index| CERTAIN * (2.0 * share(index).unwrap_or(0.0) - 1.0);
        Self((0..side * side).map(logit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (u32, u32) = (60, 30);

    #[test]
    fn points_lie_in_the_picture() {
        for (x, y) in [(0.0, 0.0), (59.9, 29.9)] {
            let prompt = MaskPrompt::default().with_point(x, y, true);
            prompt.fits(SIZE).unwrap();
        }
        for (x, y) in [
            (-0.1, 3.0),
            (60.0, 3.0),
            (3.0, 30.0),
            (f32::NAN, 1.0),
            (1.0, f32::INFINITY),
        ] {
            let prompt = MaskPrompt::default().with_point(x, y, false);
            let error = prompt.fits(SIZE).unwrap_err();
            assert!(matches!(error, Error::Point { .. }), "{error}");
            let line = error.to_string();
            assert!(line.contains("0 <= x < 60, 0 <= y < 30"), "{line}");
        }
    }

    #[test]
    fn a_point_is_on_the_object_or_off_it() {
        let prompt = MaskPrompt::default().with_point(3.0, 4.0, true);
        prompt
            .clone()
            .with_point(3.0, 4.0, true)
            .fits(SIZE)
            .unwrap();
        prompt
            .clone()
            .with_point(3.0, 5.0, false)
            .fits(SIZE)
            .unwrap();
        let error = prompt.with_point(3.0, 4.0, false).fits(SIZE).unwrap_err();
        assert!(matches!(error, Error::ContradictoryPoint { .. }), "{error}");
    }

    #[test]
    fn a_prompt_is_not_empty_and_its_box_neither() {
        let error = MaskPrompt::default().fits(SIZE).unwrap_err();
        assert!(matches!(error, Error::EmptyMaskPrompt), "{error}");
        let region = |region| MaskPrompt::default().with_region(region).fits(SIZE);
        region([0.0, 0.0, 60.0, 30.0]).unwrap();
        for bad in [[5.0, 5.0, 5.0, 9.0], [0.0, 0.0, 61.0, 9.0]] {
            assert!(matches!(region(bad), Err(Error::Box { .. })), "{bad:?}");
        }
    }

    #[test]
    fn pixels_become_logits_by_their_share_of_each_cell() {
        // A picture of 4 x 8 in the upper half of a square of 16, in cells of 4 x 4.
        let on = |place: usize| place % 8 < 3;
        let mask: Vec<bool> = (0..32).map(on).collect();
        let mask = Rle::from_mask(&mask, [4, 8]).unwrap();
        let logits = LowResMask::of_pixels(&mask, [8, 16], 16, 4);
        let above = [10.0, 0.0, -10.0, -10.0];
        assert_eq!(logits.logits()[..4], above);
        assert_eq!(logits.logits()[4..8], above);
        assert_eq!(logits.logits()[8..], [-10.0; 8]);
        // A picture smaller than the cells.
        let dot = Rle::from_mask(&[true], [1, 1]).unwrap();
        let logits = LowResMask::of_pixels(&dot, [16, 16], 16, 4);
        assert_eq!(logits.logits()[0], 10.0);
        let prompt = MaskPrompt::default().with_mask(mask);
        prompt.fits((8, 4)).unwrap();
        assert!(matches!(prompt.fits((4, 8)), Err(Error::MaskSize { .. })));
    }

    #[test]
    fn a_point_alone_is_ambiguous() {
        let point = MaskPrompt::default().with_point(1.0, 1.0, true);
        assert!(point.is_ambiguous());
        assert!(!point.clone().with_point(2.0, 1.0, false).is_ambiguous());
        assert!(
            !point
                .clone()
                .with_region([0.0, 0.0, 2.0, 2.0])
                .is_ambiguous()
        );
        assert!(!point.with_mask(LowResMask::new([0.0])).is_ambiguous());
    }
}
