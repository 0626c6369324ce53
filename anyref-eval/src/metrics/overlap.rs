//! Overlap of a predicted and a true mask, in pixels.

use anyref_decoder::rle::{Merge, Rle};

use super::error::{Error, Result};

/// Pixel counts of a predicted and a true mask, without ignored pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overlap {
    /// Pixels in both.
    pub intersection: u64,
    /// Pixels of the predicted mask.
    pub predicted: u64,
    /// Pixels of the true mask.
    pub truth: u64,
    /// Pixels of the picture.
    pub pixels: u64,
}

impl Overlap {
    /// Counts the pixels of `predicted` and `truth`. Pixels in `ignored` belong neither to a mask
    /// nor to the background; none of them may be in `truth`.
    ///
    /// # Errors
    /// When the masks have different sizes, or a pixel of the true mask is to be ignored.
    pub fn of(predicted: &Rle, truth: &Rle, ignored: Option<&Rle>) -> Result<Self> {
        let [height, width] = truth.size();
        let whole = Self {
            intersection: predicted.intersection(truth)?,
            predicted: predicted.area(),
            truth: truth.area(),
            pixels: (height * width) as u64,
        };
        let Some(ignored) = ignored else {
            return Ok(whole);
        };
        let contested = truth.intersection(ignored)?;
        if contested > 0 {
            return Err(Error::IgnoredTruth { pixels: contested });
        }
        Ok(Self {
            predicted: whole.predicted - predicted.intersection(ignored)?,
            pixels: whole.pixels - ignored.area(),
            ..whole
        })
    }

    /// Counts pixels of the unions of several masks; an empty list is the empty mask of `size`.
    ///
    /// # Errors
    /// As [`united`].
    pub fn of_united(predicted: &[Rle], truth: &[Rle], size: [usize; 2]) -> Result<Self> {
        Self::of(&united(predicted, size)?, &united(truth, size)?, None)
    }

    /// Pixels in either mask.
    pub fn union(&self) -> u64 {
        self.predicted + self.truth - self.intersection
    }

    /// Pixels in neither mask.
    pub fn background_intersection(&self) -> u64 {
        self.pixels - self.union()
    }

    /// Pixels that are not in both masks.
    pub fn background_union(&self) -> u64 {
        self.pixels - self.intersection
    }
}

/// Union of masks; an empty list gives the empty mask of `size`.
///
/// # Errors
/// When a mask has another size than `size`, or `size` is beyond
/// [`MAX_PIXELS`](anyref_decoder::rle::MAX_PIXELS).
pub fn united(masks: &[Rle], size: [usize; 2]) -> Result<Rle> {
    let empty = empty_mask(size)?;
    Ok(Rle::merge(
        std::iter::once(&empty).chain(masks),
        Merge::Union,
    )?)
}

/// Empty mask of a size.
///
/// # Errors
/// When the size is beyond [`MAX_PIXELS`](anyref_decoder::rle::MAX_PIXELS).
fn empty_mask(size: [usize; 2]) -> Result<Rle> {
    let area = size[0].saturating_mul(size[1]);
    let area = u32::try_from(area).unwrap_or(u32::MAX);
    Ok(Rle::from_counts(&[area], size)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(pixels: [u8; 6]) -> Rle {
        Rle::from_mask(&pixels.map(|p| p == 1), [2, 3]).unwrap()
    }

    #[test]
    fn counts_pixels_by_hand() {
        let overlap =
            Overlap::of(&mask([1, 1, 0, 0, 1, 0]), &mask([0, 1, 1, 0, 0, 0]), None).unwrap();
        assert_eq!((overlap.intersection, overlap.union()), (1, 4));
        assert_eq!(
            (
                overlap.background_intersection(),
                overlap.background_union()
            ),
            (2, 5)
        );
    }

    #[test]
    fn ignored_pixels_count_nowhere() {
        let ignored = mask([1, 0, 0, 1, 0, 0]);
        let (predicted, truth) = (mask([1, 1, 0, 0, 1, 0]), mask([0, 1, 1, 0, 0, 0]));
        let overlap = Overlap::of(&predicted, &truth, Some(&ignored)).unwrap();
        assert_eq!(
            (overlap.predicted, overlap.truth, overlap.pixels),
            (2, 2, 4)
        );
        assert_eq!(
            Overlap::of(&predicted, &truth, Some(&truth)),
            Err(Error::IgnoredTruth { pixels: 2 })
        );
    }

    #[test]
    fn masks_of_another_size_are_refused() {
        let other = Rle::from_mask(&[false; 6], [3, 2]).unwrap();
        let truth = mask([0; 6]);
        for (predicted, ignored) in [(&other, None), (&truth, Some(&other))] {
            assert!(matches!(
                Overlap::of(predicted, &truth, ignored),
                Err(Error::Mask(anyref_decoder::Error::SizeMismatch { .. }))
            ));
        }
        assert!(Overlap::of_united(&[other], &[], [2, 3]).is_err());
    }

    #[test]
    fn no_mask_is_an_empty_mask() {
        let overlap = Overlap::of_united(&[], &[mask([1; 6])], [2, 3]).unwrap();
        assert_eq!(
            (overlap.predicted, overlap.truth, overlap.pixels),
            (0, 6, 6)
        );
    }
}
