//! SAM at this scale: masks of whatever a box or a point marks (Kirillov et al. 2023).

use anyhow::Result;
use anyref_decoder::{MaskDecoderInput, PromptInput};
use anyref_vision::preprocess::PixelValues;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::context::{StageContext, floats, indices};
use crate::data::{Mask, Split};
use crate::losses::{BCE_WEIGHT, DICE_WEIGHT, mask_bce, mask_dice, mask_iou};
use crate::run::config::StageConfig;
use crate::run::trainer::{Losses, Stage};
use crate::trainee::Trainee;

/// Weight of the decoder's estimate of its own IoU.
const IOU: f64 = 0.1;
/// Largest shift of a box edge, as a share of the box.
const JITTER: f32 = 0.1;

/// Trains image encoder, prompt encoder and mask decoder.
#[derive(Debug)]
pub struct SamStage<'a> {
    context: &'a StageContext,
    config: StageConfig,
    mask_size: usize,
}

/// Scenes and prompts on them.
#[derive(Debug)]
pub struct SamBatch {
    scenes: Vec<PixelValues>,
    boxes: Prompted,
    points: Prompted,
}

/// Prompts of one kind with the masks that they mean.
#[derive(Debug, Default)]
struct Prompted {
    scenes: Vec<usize>,
    /// Box corners or points, in pixels of SAM's square.
    coordinates: Vec<f32>,
    targets: Vec<f32>,
}

impl<'a> SamStage<'a> {
    /// Prepares the stage.
    pub fn new(context: &'a StageContext, config: StageConfig) -> Self {
        let mask_size = context.mask_size(&config);
        Self {
            context,
            config,
            mask_size,
        }
    }

    fn make_batch(&self, split: Split, step: u64) -> Result<SamBatch> {
        let sam = self.context.sam();
        let mut rng = SmallRng::seed_from_u64(split.seed(self.context.seed, step));
        let mut batch = SamBatch {
            scenes: Vec::new(),
            boxes: Prompted::default(),
            points: Prompted::default(),
        };
        for (index, scene) in self
            .context
            .scenes_of(split, step, self.config.batch)
            .iter()
            .enumerate()
        {
            let pixels = sam.process(&scene.image);
            let scale = pixels.resized_size[1] as f32 / pixels.original_size[1] as f32;
            for (slot, object) in scene.objects.iter().enumerate() {
                let by_box = (slot + index).is_multiple_of(2);
                let prompted = if by_box {
                    &mut batch.boxes
                } else {
                    &mut batch.points
                };
                prompted.scenes.push(index);
                if by_box {
                    let corners = jittered(object.bounds, &mut rng);
                    prompted
                        .coordinates
                        .extend(corners.map(|value| value * scale));
                } else {
                    let [x, y] = inner_point(&object.mask, &mut rng);
                    prompted
                        .coordinates
                        .extend([(x + 0.5) * scale, (y + 0.5) * scale]);
                }
                prompted
                    .targets
                    .extend(self.context.mask_target(&object.mask, self.mask_size));
            }
            batch.scenes.push(pixels.pixels);
        }
        Ok(batch)
    }

    /// Mask logits, targets and IoU estimates of every prompt: boxes, then points.
    fn forward<B: Backend>(&self, trainee: &Trainee<B>, batch: &SamBatch) -> SamOutput<B> {
        let device = trainee.heads.logit_scale.val().device();
        let model = &trainee.anyref;
        let embeddings = model
            .image_encoder
            .forward(PixelValues::batch(&batch.scenes, &device));
        let (mut logits, mut targets, mut estimates) = (Vec::new(), Vec::new(), Vec::new());
        for (prompted, by_box) in [(&batch.boxes, true), (&batch.points, false)] {
            let count = prompted.scenes.len();
            if count == 0 {
                continue;
            }
            let coordinates = prompted.coordinates.clone();
            let prompts = if by_box {
                PromptInput::default().with_boxes(floats(coordinates, [count, 4], &device))
            } else {
                let labels = Tensor::<B, 2, Int>::from_data(
                    TensorData::new(vec![1; count], [count, 1]),
                    &device,
                );
                PromptInput::default()
                    .with_points(floats(coordinates, [count, 1, 2], &device), labels)
            };
            let encoded = model.prompt_encoder.forward(prompts);
            let decoded = model.mask_decoder.forward(MaskDecoderInput {
                image_embeddings: embeddings
                    .clone()
                    .select(0, indices(&prompted.scenes, &device)),
                image_pe: model.prompt_encoder.image_pe(),
                sparse: encoded.sparse,
                dense: encoded.dense,
                multimask_output: false,
            });
            logits.push(resized(decoded.low_res_masks, self.mask_size));
            let size = self.mask_size;
            targets.push(floats::<B, 3>(
                prompted.targets.clone(),
                [count, size, size],
                &device,
            ));
            estimates.push(decoded.iou_predictions.squeeze_dim::<1>(1));
        }
        SamOutput {
            logits: Tensor::cat(logits, 0),
            targets: Tensor::cat(targets, 0),
            estimates: Tensor::cat(estimates, 0),
        }
    }
}

struct SamOutput<B: Backend> {
    logits: Tensor<B, 3>,
    targets: Tensor<B, 3>,
    estimates: Tensor<B, 1>,
}

impl<B: AutodiffBackend> Stage<B> for SamStage<'_> {
    type Batch = SamBatch;

    fn batch(&self, step: u64) -> Result<SamBatch> {
        self.make_batch(Split::Train, step)
    }

    fn loss(&self, trainee: &Trainee<B>, batch: &SamBatch) -> Result<Losses<B>> {
        Ok(mask_losses(self.forward(trainee, batch)))
    }

    fn validate(&self, trainee: &Trainee<B::InnerBackend>) -> Result<Vec<(String, f64)>> {
        let (mut sums, mut counts) = ([0.0; 2], [0; 2]);
        for step in 0..self.config.validation_scenes.div_ceil(self.config.batch) as u64 {
            let batch = self.make_batch(Split::Validation, step)?;
            let output = self.forward(trainee, &batch);
            let ious = mask_iou(output.logits, output.targets);
            let boxes = batch.boxes.scenes.len();
            let values: Vec<f32> = ious.into_data().convert::<f32>().iter::<f32>().collect();
            for (index, iou) in values.into_iter().enumerate() {
                let kind = usize::from(index >= boxes);
                sums[kind] += f64::from(iou);
                counts[kind] += 1;
            }
        }
        Ok(vec![
            ("box_iou".into(), sums[0] / f64::from(counts[0].max(1))),
            ("point_iou".into(), sums[1] / f64::from(counts[1].max(1))),
        ])
    }
}

/// The losses of predicted masks.
fn mask_losses<B: Backend>(output: SamOutput<B>) -> Losses<B> {
    let ious = mask_iou(output.logits.clone().detach(), output.targets.clone());
    let bce = mask_bce(output.logits.clone(), output.targets.clone()).mean();
    let dice = mask_dice(output.logits, output.targets).mean();
    let estimate = (output.estimates - ious.clone()).powf_scalar(2.0).mean();
    Losses {
        total: bce.clone() * BCE_WEIGHT + dice.clone() * DICE_WEIGHT + estimate * IOU,
        parts: vec![("bce", bce), ("dice", dice), ("iou", ious.mean())],
    }
}

/// Mask logits `[n, 1, h, w]` as `[n, size, size]`.
pub(super) fn resized<B: Backend>(logits: Tensor<B, 4>, size: usize) -> Tensor<B, 3> {
    use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
    let [_, _, rows, _] = logits.dims();
    let logits = if rows == size {
        logits
    } else {
        let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
        burn::tensor::module::interpolate(logits, [size, size], options)
    };
    logits.squeeze_dim(1)
}

/// The box with each edge shifted a little.
fn jittered([x0, y0, x1, y1]: [f32; 4], rng: &mut impl Rng) -> [f32; 4] {
    let (dx, dy) = ((x1 - x0) * JITTER, (y1 - y0) * JITTER);
    [
        x0 + rng.random_range(-dx..=dx),
        y0 + rng.random_range(-dy..=dy),
        x1 + rng.random_range(-dx..=dx),
        y1 + rng.random_range(-dy..=dy),
    ]
}

/// A pixel of the mask.
fn inner_point(mask: &Mask, rng: &mut impl Rng) -> [f32; 2] {
    let pixels: Vec<_> = mask.pixels().collect();
    let &(x, y) = pixels.choose(rng).unwrap_or(&(0, 0));
    [x as f32, y as f32]
}
