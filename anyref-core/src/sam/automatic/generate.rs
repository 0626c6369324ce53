//! Generation of automatic masks.

use anyref_decoder::rle::Rle;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend, read_sync};
use image::RgbImage;
use image::imageops::crop_imm;

use super::super::model::SamModel;
use super::super::picture::SamPicture;
use super::super::picture_masks::in_picture;
use super::config::AutomaticMaskConfig;
use super::crops::{Crop, crops};
use super::grid::PointGrid;
use super::nms::{Corners, nms};
use super::record::AutomaticMask;
use super::regions::{Region, remove_small};
use super::source::PointMasks;
use crate::observer::Cancel;
use crate::read::read;
use crate::{Error, Mask, Result};

/// Callback that receives the number of finished points and their total.
pub type OnPoints<'a> = &'a mut (dyn FnMut(usize, usize) + Send);

impl<B: Backend> SamModel<B> {
    /// Predicts every mask of a picture.
    ///
    /// # Errors
    /// See [`automatic_masks`].
    pub fn automatic_masks(
        &self,
        image: &RgbImage,
        config: &AutomaticMaskConfig,
    ) -> Result<Vec<AutomaticMask>> {
        let (mut on_points, cancel) = (|_, _| {}, Cancel::new());
        read_sync(automatic_masks(
            self,
            image,
            config,
            &mut on_points,
            &cancel,
        ))
    }
}

/// Predicts every mask of a picture with a source of masks for points, in order of descending IoU
/// estimate; with crops, masks of smaller crops come first. Memory holds the masks of one batch of
/// points, and 64 MB of masks in the picture's size; kept masks are run lengths.
///
/// # Errors
/// When the picture has no pixels, the config is out of range, the device fails, the source
/// computes NaN, or the call is cancelled.
pub async fn automatic_masks<B: Backend, S: PointMasks<B>>(
    source: &S,
    image: &RgbImage,
    config: &AutomaticMaskConfig,
    on_points: OnPoints<'_>,
    cancel: &Cancel,
) -> Result<Vec<AutomaticMask>> {
    config.validate()?;
    if image.width() == 0 || image.height() == 0 {
        return Err(Error::EmptyPicture);
    }
    let size = [image.height() as usize, image.width() as usize];
    let crops = crops(size, config.crop_n_layers, config.crop_overlap_ratio);
    let grid = |crop: &Crop| PointGrid::new(config.points(crop.layer));
    let total = crops.iter().map(|crop| grid(crop).len()).sum();
    let (mut found, mut asked) = (Vec::new(), 0);
    for crop in &crops {
        cancel.check()?;
        let search = Search {
            source,
            config,
            crop: *crop,
            size,
            picture: match crop.layer {
                0 => source.picture(image)?,
                _ => source.picture(&cut(image, *crop))?,
            },
        };
        let grid = grid(crop);
        let mut masks = Vec::new();
        for start in (0..grid.len()).step_by(config.points_per_batch) {
            cancel.check()?;
            let end = grid
                .len()
                .min(start.saturating_add(config.points_per_batch));
            let points = grid.pixels(start..end, crop.size());
            masks.extend(search.batch(&points).await?);
            asked += points.len();
            on_points(asked, total);
        }
        let scores: Vec<f32> = masks.iter().map(|mask| mask.predicted_iou).collect();
        found.extend(without_doubles(masks, &scores, config.box_nms_thresh));
    }
    if crops.len() > 1 {
        let scores: Vec<f32> = found
            .iter()
            .map(|mask: &AutomaticMask| 1.0 / mask.crop_area as f32)
            .collect();
        found = without_doubles(found, &scores, config.crop_nms_thresh);
    }
    match config.min_mask_region_area {
        0 => Ok(found),
        area => {
            let threshold = config.box_nms_thresh.max(config.crop_nms_thresh);
            without_small_regions(found, area, threshold, cancel)
        }
    }
}

/// Search of one crop.
struct Search<'a, B: Backend, S> {
    source: &'a S,
    config: &'a AutomaticMaskConfig,
    crop: Crop,
    /// Height and width of the whole picture.
    size: [usize; 2],
    /// Encoded crop.
    picture: SamPicture<B>,
}

impl<B: Backend, S: PointMasks<B>> Search<'_, B, S> {
    /// Predicts the masks of some points and keeps those that are good enough (`_process_batch`).
    async fn batch(&self, points: &[[f64; 2]]) -> Result<Vec<AutomaticMask>> {
        let config = self.config;
        let output = self.source.masks_of_points(&self.picture, points);
        let [count, each, rows, columns] = output.low_res_masks.dims();
        let estimates = read(output.iou_predictions).await?.convert::<f32>();
        let estimates: Vec<f32> = estimates.iter::<f32>().collect();
        if estimates.iter().any(|estimate| !estimate.is_finite()) {
            return Err(Error::NotFinite);
        }
        let limit = config.pred_iou_thresh;
        let trusted: Vec<usize> = (0..count * each)
            .filter(|&index| limit <= 0.0 || estimates[index] > limit as f32)
            .collect();
        if trusted.is_empty() {
            return Ok(Vec::new());
        }
        let indices: Vec<i32> = trusted.iter().map(|&index| index as i32).collect();
        let indices = TensorData::new(indices, [trusted.len()]);
        let low_res = output
            .low_res_masks
            .reshape([count * each, 1, rows, columns]);
        let indices = Tensor::<B, 1, Int>::from_data(indices, &low_res.device());
        let low_res = low_res.select(0, indices);
        let mut masks = Vec::new();
        in_picture(
            &self.picture,
            low_res,
            self.source.image_size(),
            |index, logits| {
                let mask = trusted[index];
                masks.extend(self.stable(logits, estimates[mask], points[mask / each])?);
                Ok(())
            },
        )
        .await?;
        Ok(masks)
    }

    /// Converts logits to a mask if it is stable and not cut off by the crop.
    fn stable(
        &self,
        logits: &[f32],
        estimate: f32,
        point: [f64; 2],
    ) -> Result<Option<AutomaticMask>> {
        let (limit, offset) = (
            self.config.stability_score_thresh,
            self.config.stability_score_offset,
        );
        let stability = stability(logits, offset as f32);
        // The stability of an empty mask is NaN.
        let stable = limit <= 0.0 || stability >= limit as f32;
        if !stable {
            return Ok(None);
        }
        let [_, width] = self.crop.size();
        let corners = corners(logits, width);
        if self.crop.cuts(corners, self.size) {
            return Ok(None);
        }
        let mask = Mask {
            rle: self.in_whole(logits)?,
            score: estimate.clamp(0.0, 1.0),
            words: None,
            low_res: None,
        };
        let scores = [estimate, stability];
        Ok(Some(AutomaticMask::found(
            mask, scores, point, corners, self.crop,
        )))
    }

    /// Converts the crop's logits to a mask of the whole picture.
    fn in_whole(&self, logits: &[f32]) -> Result<Rle> {
        let on = logits.iter().map(|&logit| logit > 0.0);
        if self.crop.layer == 0 {
            return Ok(Rle::from_mask(&on.collect::<Vec<_>>(), self.size)?);
        }
        let [left, top, ..] = self.crop.bounds;
        let [_, across] = self.crop.size();
        let [height, width] = self.size;
        let mut whole = vec![false; height * width];
        for (place, on) in on.enumerate() {
            whole[(top + place / across) * width + left + place % across] = on;
        }
        Ok(Rle::from_mask(&whole, self.size)?)
    }
}

/// Pixels of a crop.
fn cut(image: &RgbImage, crop: Crop) -> RgbImage {
    let [left, top, ..] = crop.bounds.map(|edge| edge as u32);
    let [height, width] = crop.size().map(|side| side as u32);
    crop_imm(image, left, top, width, height).to_image()
}

/// IoU of the masks at a higher and at a lower threshold; NaN if both are empty.
fn stability(logits: &[f32], offset: f32) -> f32 {
    let above = |threshold: f32| logits.iter().filter(|&&logit| logit > threshold).count();
    above(offset) as f32 / above(-offset) as f32
}

/// First and last columns and rows of a mask given by its logits; zeros for an empty one.
fn corners(logits: &[f32], width: usize) -> Corners {
    let (mut x0, mut y0, mut x1, mut y1) = (usize::MAX, usize::MAX, 0, 0);
    for (y, row) in logits.chunks_exact(width).enumerate() {
        let Some(first) = row.iter().position(|&logit| logit > 0.0) else {
            continue;
        };
        let last = row.iter().rposition(|&logit| logit > 0.0).unwrap_or(first);
        (x0, y0) = (x0.min(first), y0.min(y));
        (x1, y1) = (x1.max(last), y);
    }
    match x0 {
        usize::MAX => [0; 4],
        _ => [x0, y0, x1, y1],
    }
}

/// Masks kept by [`nms`], in its order.
fn without_doubles(
    masks: Vec<AutomaticMask>,
    scores: &[f32],
    threshold: f64,
) -> Vec<AutomaticMask> {
    let boxes: Vec<Corners> = masks.iter().map(|mask| mask.corners).collect();
    let mut masks: Vec<_> = masks.into_iter().map(Some).collect();
    let kept = nms(&boxes, scores, threshold);
    kept.into_iter()
        .filter_map(|index| masks[index].take())
        .collect()
}

/// Removes small islands and holes, and duplicates that result; unchanged masks take precedence
/// (`postprocess_small_regions`).
fn without_small_regions(
    mut masks: Vec<AutomaticMask>,
    min_area: usize,
    threshold: f64,
    cancel: &Cancel,
) -> Result<Vec<AutomaticMask>> {
    let mut scores = Vec::with_capacity(masks.len());
    for found in &mut masks {
        cancel.check()?;
        let size = found.mask.rle.size();
        let mut pixels = found.mask.rle.to_mask();
        let filled = remove_small(&mut pixels, size, min_area, Region::Hole);
        let cleared = remove_small(&mut pixels, size, min_area, Region::Island);
        scores.push(f32::from(u8::from(!filled && !cleared)));
        if filled || cleared {
            found.mask.rle = Rle::from_mask(&pixels, size)?;
            found.corners = match found.mask.rle.bbox() {
                [_, _, 0, 0] => [0; 4],
                [x, y, width, height] => [x, y, x + width - 1, y + height - 1],
            };
        }
    }
    Ok(without_doubles(masks, &scores, threshold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stability_compares_two_thresholds() {
        let logits = [-3.0, -0.5, 0.5, 3.0];
        assert_eq!(stability(&logits, 1.0), 1.0 / 3.0);
        assert_eq!(stability(&logits, 0.0), 1.0);
        assert!(stability(&[-3.0], 1.0).is_nan());
    }

    #[test]
    fn corners_are_the_first_and_last_pixels() {
        let on = |places: &[usize]| {
            let mut logits = vec![-1.0; 12];
            places.iter().for_each(|&place| logits[place] = 1.0);
            corners(&logits, 4)
        };
        assert_eq!(on(&[5, 10]), [1, 1, 2, 2]);
        assert_eq!(on(&[3]), [3, 0, 3, 0]);
        assert_eq!(on(&[]), [0; 4]);
    }
}
