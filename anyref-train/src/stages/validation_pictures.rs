//! Predicted masks of a stage of instructions, beside the true ones.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use image::{Rgb, RgbImage, imageops};

use super::instruct::InstructStage;
use crate::losses::resized;
use crate::stage_error::StageError;
use crate::trainee::Trainee;
use anyref_data::scenes::Split;

const TRUE: Rgb<u8> = Rgb([40, 220, 60]);
const PREDICTED: Rgb<u8> = Rgb([240, 40, 40]);
/// Pixels between the two pictures of a pair.
const GAP: u32 = 4;

impl InstructStage<'_> {
    /// Up to `count` pictures of validation data, each twice, side by side: with the true mask of
    /// an object in green, and with the predicted mask in red, with teacher forcing. The objects of
    /// a batch take turns, so that kinds of questions differ.
    ///
    /// # Errors
    /// When the validation data cannot be read or do not fit the model, or the folder of cached
    /// features cannot be read.
    pub(crate) fn validation_pictures<B: Backend>(
        &self,
        trainee: &Trainee<B>,
        count: usize,
    ) -> Result<Vec<RgbImage>, StageError> {
        let device = trainee.heads.logit_scale.val().device();
        let sam = self.context().sam();
        let side = self.context().mask_square;
        let mut pictures = Vec::with_capacity(count);
        // Data sets without masks have nothing to show.
        for step in 0..count as u64 {
            let Some(batch) = self.batch_of(Split::Validation, step)? else {
                break;
            };
            let Some((logits, truth)) = self.forward(&trainee.anyref, &batch, &device)?.masks
            else {
                continue;
            };
            // Nothing is shown outside of the picture.
            let inside = truth.clone().greater_equal_elem(0.0).float();
            let logits = logits * inside.clone() - (-inside + 1.0);
            let (logits, truth) = (shown(logits, side), shown(truth.clamp_min(0.0) - 0.5, side));
            let of = batch.picture_of_objects();
            for (picture, pixels) in batch.sam.iter().enumerate() {
                let masks = 0..batch.objects.len();
                let objects: Vec<usize> = masks.filter(|&i| of[i] == picture).collect();
                if objects.is_empty() {
                    continue;
                }
                let object = objects[pictures.len() % objects.len()];
                let plain = sam.picture(pixels);
                let mask = |values: &[f32]| values[object * side * side..][..side * side].to_vec();
                pictures.push(beside(
                    &tinted(plain.clone(), &mask(&truth), TRUE),
                    &tinted(plain, &mask(&logits), PREDICTED),
                ));
                if pictures.len() == count {
                    return Ok(pictures);
                }
            }
        }
        Ok(pictures)
    }
}

/// Masks in the size of the picture; values above 0 are inside.
fn shown<B: Backend>(masks: Tensor<B, 3>, side: usize) -> Vec<f32> {
    let masks = resized(masks.unsqueeze_dim(1), side);
    masks.into_data().convert::<f32>().iter().collect()
}

/// Blends half of the colour into the pixels of the mask.
fn tinted(mut picture: RgbImage, mask: &[f32], colour: Rgb<u8>) -> RgbImage {
    for (pixel, _) in picture
        .pixels_mut()
        .zip(mask)
        .filter(|(_, value)| **value > 0.0)
    {
        for (value, tint) in pixel.0.iter_mut().zip(colour.0) {
            *value = ((u16::from(*value) + u16::from(tint)) / 2) as u8;
        }
    }
    picture
}

fn beside(left: &RgbImage, right: &RgbImage) -> RgbImage {
    let (width, height) = (left.width() + GAP + right.width(), left.height());
    let mut both = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    imageops::replace(&mut both, left, 0, 0);
    imageops::replace(&mut both, right, i64::from(left.width() + GAP), 0);
    both
}
