//! Prompts for a mask: points, a box, an earlier mask.

use std::fmt;
use std::sync::Arc;

use crate::reference::check_box;
use crate::{Error, Result};

/// A place in a picture that belongs to the object, or does not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Pixels from the left.
    pub x: f32,
    /// Pixels from the top.
    pub y: f32,
    /// On the object, or off it.
    pub on: bool,
}

/// Logits of a mask as the mask decoder gives them, before they are brought to the picture's size:
/// [`SamModel::low_res_size`](super::SamModel::low_res_size) squared, row by row. Clones share them.
#[derive(Clone, PartialEq)]
pub struct LowResMask(Arc<[f32]>);

impl LowResMask {
    /// Logits given row by row.
    pub fn new(logits: impl Into<Arc<[f32]>>) -> Self {
        Self(logits.into())
    }

    /// The logits row by row.
    pub fn logits(&self) -> &[f32] {
        &self.0
    }
}

impl fmt::Debug for LowResMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LowResMask({} logits)", self.0.len())
    }
}

/// A prompt for the mask of one object: points and at most one box, in pixels of the picture, and
/// the mask of an earlier answer to refine, in any combination.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MaskPrompt {
    /// Places on and off the object.
    pub points: Vec<Point>,
    /// A box around it, `[x0, y0, x1, y1]`.
    pub region: Option<[f32; 4]>,
    /// A mask to refine.
    pub mask: Option<LowResMask>,
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
    pub fn with_mask(mut self, mask: LowResMask) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Whether the prompt may mean several things, a part or the whole: a point alone does.
    pub fn is_ambiguous(&self) -> bool {
        self.points.len() == 1 && self.region.is_none() && self.mask.is_none()
    }

    /// Checks points and box against a picture of `(width, height)` pixels.
    ///
    /// # Errors
    /// When nothing is given, a point lies outside the picture or is asked for both on and off the
    /// object, or the box is empty or outside.
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
        Ok(())
    }

    /// Checks the mask against the side of a model's own logits.
    pub(super) fn fits_model(&self, side: usize) -> Result<()> {
        let Some(mask) = &self.mask else {
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
