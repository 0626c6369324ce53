//! Prediction of masks for prompts.

use std::collections::BTreeMap;

use anyref_decoder::PromptInput;
use anyref_decoder::rle::Rle;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend, read_sync};

use super::mask_prompt::{EarlierMask, LowResMask, MaskPrompt};
use super::model::SamModel;
use super::picture::SamPicture;
use super::picture_masks::in_picture;
use crate::read::read;
use crate::{Error, Mask, Result};

/// Maximum prompts decoded in one call, which limits memory.
const PROMPTS_AT_ONCE: usize = 64;

/// Number of masks that answer a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Multimask {
    /// Three candidates if the prompt is ambiguous ([`MaskPrompt::is_ambiguous`]), otherwise one,
    /// as the authors advise.
    #[default]
    WhereAmbiguous,
    /// Three candidates.
    Always,
    /// One candidate.
    Never,
}

/// Mask for a prompt.
#[derive(Debug, Clone)]
pub struct MaskCandidate {
    /// Mask in the picture's size.
    pub mask: Mask,
    /// Decoder's IoU estimate, unclamped; the mask's score is clamped to 0 to 1.
    pub estimate: f32,
    /// Logits of the mask, usable as a mask prompt for the next answer.
    pub low_res: LowResMask,
}

/// Masks for one prompt.
#[derive(Debug, Clone)]
pub struct MaskPrediction {
    /// Candidates in the decoder's order, at least one.
    pub candidates: Vec<MaskCandidate>,
}

impl MaskPrediction {
    /// Candidate with the highest estimate, the first in a tie.
    pub fn best(&self) -> &MaskCandidate {
        let better = |best: usize, index: usize| {
            let higher = self.candidates[index].estimate > self.candidates[best].estimate;
            if higher { index } else { best }
        };
        &self.candidates[(0..self.candidates.len()).fold(0, better)]
    }
}

/// Properties that prompts decoded together share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    points: usize,
    region: bool,
    mask: bool,
    multimask: bool,
}

impl<B: Backend> SamModel<B> {
    /// Predicts masks for any number of prompts about a picture. Each answer is independent of the
    /// others; prompts of equal shape are decoded together.
    ///
    /// # Errors
    /// When a prompt does not fit ([`MaskPrompt::fits`]), its mask is not of this model's size, the
    /// device fails, or the model computes NaN.
    pub fn predict(
        &self,
        picture: &SamPicture<B>,
        prompts: &[MaskPrompt],
        multimask: Multimask,
    ) -> Result<Vec<MaskPrediction>> {
        read_sync(self.predict_async(picture, prompts, multimask))
    }

    /// Asynchronous form of [`predict`](Self::predict).
    ///
    /// # Errors
    /// See [`predict`](Self::predict).
    pub async fn predict_async(
        &self,
        picture: &SamPicture<B>,
        prompts: &[MaskPrompt],
        multimask: Multimask,
    ) -> Result<Vec<MaskPrediction>> {
        let mut groups = BTreeMap::<Shape, Vec<usize>>::new();
        for (index, prompt) in prompts.iter().enumerate() {
            prompt.fits(picture.size())?;
            prompt.fits_model(self.low_res_size())?;
            let shape = Shape {
                points: prompt.points.len(),
                region: prompt.region.is_some(),
                mask: prompt.mask.is_some(),
                multimask: match multimask {
                    Multimask::WhereAmbiguous => prompt.is_ambiguous(),
                    Multimask::Always => true,
                    Multimask::Never => false,
                },
            };
            groups.entry(shape).or_default().push(index);
        }
        let mut predictions = BTreeMap::new();
        for (shape, indices) in &groups {
            for indices in indices.chunks(PROMPTS_AT_ONCE) {
                let together: Vec<_> = indices.iter().map(|&index| &prompts[index]).collect();
                let answers = self.predict_group(picture, &together, *shape).await?;
                predictions.extend(indices.iter().copied().zip(answers));
            }
        }
        Ok(predictions.into_values().collect())
    }

    /// Predicts masks for prompts of equal shape.
    async fn predict_group(
        &self,
        picture: &SamPicture<B>,
        prompts: &[&MaskPrompt],
        shape: Shape,
    ) -> Result<Vec<MaskPrediction>> {
        let input = self.prompt_input(picture, prompts, shape);
        let output = self.decode(picture, input, shape.multimask);
        let [count, each, rows, columns] = output.low_res_masks.dims();
        let low_res = output
            .low_res_masks
            .reshape([count * each, 1, rows, columns]);
        let estimates = read(output.iou_predictions).await?.convert::<f32>();
        let estimates: Vec<f32> = estimates.iter::<f32>().collect();
        if estimates.iter().any(|estimate| !estimate.is_finite()) {
            return Err(Error::NotFinite);
        }
        let logits = read(low_res.clone()).await?.convert::<f32>();
        let logits = logits.as_slice::<f32>().expect("contiguous f32 data");
        let mut candidates = Vec::with_capacity(count * each);
        in_picture(picture, low_res, self.image_size(), |index, pixels| {
            let pixels: Vec<bool> = pixels.iter().map(|&logit| logit > 0.0).collect();
            let low_res = LowResMask::new(&logits[index * rows * columns..][..rows * columns]);
            candidates.push(MaskCandidate {
                mask: Mask {
                    rle: Rle::from_mask(&pixels, picture.original_size)?,
                    score: estimates[index].clamp(0.0, 1.0),
                    words: None,
                    low_res: Some(low_res.clone()),
                },
                estimate: estimates[index],
                low_res,
            });
            Ok(())
        })
        .await?;
        let mut candidates = candidates.into_iter();
        let prediction = |_| MaskPrediction {
            candidates: candidates.by_ref().take(each).collect(),
        };
        Ok((0..count).map(prediction).collect())
    }

    /// Converts prompts of equal shape to the prompt encoder's input.
    fn prompt_input(
        &self,
        picture: &SamPicture<B>,
        prompts: &[&MaskPrompt],
        shape: Shape,
    ) -> PromptInput<B> {
        let (device, count) = (self.device(), prompts.len());
        let mut input = PromptInput::default();
        if shape.points > 0 {
            let points = || prompts.iter().flat_map(|prompt| &prompt.points);
            let coords = points()
                .flat_map(|point| picture.to_input([f64::from(point.x), f64::from(point.y)]))
                .map(|coordinate| coordinate as f32);
            let labels = points().map(|point| i32::from(point.on));
            let coords = TensorData::new(coords.collect(), [count, shape.points, 2]);
            let labels = TensorData::new(labels.collect::<Vec<i32>>(), [count, shape.points]);
            input = input.with_points(
                Tensor::from_data(coords, &device),
                Tensor::<B, 2, Int>::from_data(labels, &device),
            );
        }
        if shape.region {
            let corners = prompts.iter().filter_map(|prompt| prompt.region);
            let corners = corners.flat_map(|[x0, y0, x1, y1]| [[x0, y0], [x1, y1]]);
            let corners = corners
                .flat_map(|corner| picture.to_input(corner.map(f64::from)))
                .map(|coordinate| coordinate as f32);
            let corners = TensorData::new(corners.collect(), [count, 4]);
            input = input.with_boxes(Tensor::from_data(corners, &device));
        }
        if shape.mask {
            let side = self.low_res_size();
            let masks = prompts.iter().filter_map(|prompt| prompt.mask.as_ref());
            let masks = masks.map(|mask| match mask {
                EarlierMask::Logits(mask) => mask.clone(),
                EarlierMask::Pixels(mask) => {
                    let (resized, square) = (picture.resized_size, self.image_size());
                    LowResMask::of_pixels(mask, resized, square, side)
                }
            });
            let logits = masks.flat_map(|mask| mask.logits().to_vec());
            let logits: Vec<f32> = logits.collect();
            let masks = TensorData::new(logits, [count, 1, side, side]);
            let dtype = self.prompt_encoder.no_mask_embed.weight.val().dtype();
            input = input.with_masks(Tensor::<B, 4>::from_data(masks, &device).cast(dtype));
        }
        input
    }
}
