//! Resizing of low-resolution logits to their picture.

use anyref_decoder::postprocess_masks;
use burn::tensor::{Tensor, backend::Backend};

use super::picture::SamPicture;
use crate::read::read;
use crate::{Error, Result};

/// Mask pixels that are resized in one call, 64 MB in f32.
const PIXELS_AT_ONCE: usize = 16 << 20;

/// Calls `visit` with the number of each mask and its logits in the picture's size, in row-major
/// order; [`PIXELS_AT_ONCE`] limits the masks computed together.
///
/// # Shapes
/// - low_res: `[masks, 1, side, side]`
///
/// # Errors
/// When a logit is NaN, the device fails, or `visit` fails.
pub(crate) async fn in_picture<B: Backend>(
    picture: &SamPicture<B>,
    low_res: Tensor<B, 4>,
    image_size: usize,
    visit: impl FnMut(usize, &[f32]) -> Result<()> + Send,
) -> Result<()> {
    let [_, _, side, _] = low_res.dims();
    in_square(picture, low_res, picture.square(side, image_size), visit).await
}

/// As [`in_picture`], by way of a square of this side, in which the picture has this height and
/// width.
///
/// # Errors
/// As [`in_picture`].
pub(crate) async fn in_square<B: Backend>(
    picture: &SamPicture<B>,
    low_res: Tensor<B, 4>,
    (resized_size, square): ([usize; 2], usize),
    mut visit: impl FnMut(usize, &[f32]) -> Result<()> + Send,
) -> Result<()> {
    let [masks, ..] = low_res.dims();
    let [height, width] = picture.original_size;
    let together = masks_at_once(height * width, square);
    for start in (0..masks).step_by(together) {
        let count = together.min(masks - start);
        let logits = postprocess_masks(
            low_res.clone().narrow(0, start, count),
            resized_size,
            picture.original_size,
            square,
        );
        let logits = read(logits).await?.convert::<f32>();
        let logits = logits.as_slice::<f32>().expect("contiguous f32 data");
        for (index, logits) in logits.chunks_exact(height * width).enumerate() {
            if logits.iter().any(|logit| logit.is_nan()) {
                return Err(Error::NotFinite);
            }
            visit(start + index, logits)?;
        }
    }
    Ok(())
}

/// Number of masks of a picture of `pixels` that are resized together, through the image encoder's
/// square of `image_size`.
fn masks_at_once(pixels: usize, image_size: usize) -> usize {
    (PIXELS_AT_ONCE / pixels.max(image_size * image_size).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::masks_at_once;

    #[test]
    fn large_masks_are_few_at_a_time() {
        assert_eq!(masks_at_once(4000 * 3000, 1024), 1);
        assert_eq!(masks_at_once(640 * 480, 1024), 16);
        assert_eq!(masks_at_once(640 * 480, 256), 54);
        assert_eq!(masks_at_once(1, 0), 16 << 20);
    }
}
