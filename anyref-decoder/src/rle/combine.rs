//! Union, intersection and overlap of masks, computed on their runs.

use super::{Rle, Runs};
use crate::error::{Error, Result};

/// Combination of masks in [`Rle::merge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// Set where any mask is.
    Union,
    /// Set where all masks are.
    Intersection,
}

impl Rle {
    /// Combines masks of equal size.
    ///
    /// # Errors
    /// When there is no mask, or the sizes differ.
    pub fn merge<'a>(masks: impl IntoIterator<Item = &'a Rle>, merge: Merge) -> Result<Rle> {
        let mut masks = masks.into_iter();
        let mut merged = masks.next().ok_or(Error::NothingToMerge)?.clone();
        for mask in masks {
            let mut runs = Runs::default();
            merged.walk(mask, |left, right, count| {
                let on = match merge {
                    Merge::Union => left || right,
                    Merge::Intersection => left && right,
                };
                runs.push(on, count);
            })?;
            merged.counts = runs.finish();
        }
        Ok(merged)
    }

    /// Intersection over union; 0 for two empty masks.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn iou(&self, other: &Rle) -> Result<f64> {
        let both = self.intersection(other)?;
        Ok(ratio(both, self.area() + other.area() - both))
    }

    /// Intersection over this mask's own area: COCO's measure against a crowd region.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn iou_crowd(&self, crowd: &Rle) -> Result<f64> {
        Ok(ratio(self.intersection(crowd)?, self.area()))
    }

    /// Number of pixels set in both masks.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn intersection(&self, other: &Rle) -> Result<u64> {
        let mut both = 0;
        self.walk(other, |left, right, count| {
            if left && right {
                both += u64::from(count);
            }
        })?;
        Ok(both)
    }

    /// Calls `visit` with both masks' values for each stretch over which neither changes.
    fn walk(&self, other: &Rle, mut visit: impl FnMut(bool, bool, u32)) -> Result<()> {
        if self.size != other.size {
            return Err(Error::SizeMismatch {
                left: self.size,
                right: other.size,
            });
        }
        let (mut i, mut j) = (0, 0);
        let (mut left, mut right) = (self.counts[0], other.counts[0]);
        loop {
            let count = left.min(right);
            visit(i % 2 == 1, j % 2 == 1, count);
            (left, right) = (left - count, right - count);
            if left == 0 {
                i += 1;
                left = self.counts.get(i).copied().unwrap_or(0);
            }
            if right == 0 {
                j += 1;
                right = other.counts.get(j).copied().unwrap_or(0);
            }
            // Both cover an equal number of pixels, so they end together.
            if i >= self.counts.len() || j >= other.counts.len() {
                return Ok(());
            }
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => part as f64 / whole as f64,
    }
}
