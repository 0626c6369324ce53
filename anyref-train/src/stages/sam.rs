//! SAM at small scale: masks for names, boxes and points (Kirillov et al. 2023).
//!
//! Most prompts are names, as in SAM's section 7.5: each has a vector of its own, and means every
//! object in the scene that it fits. Names teach the image encoder categories of objects, on which
//! the language model's prompts build later.
//!
//! With `name_weight` each cell of the image embedding is also classified by its product with the
//! names' vectors: masks alone only compare the few names of one scene.

use std::collections::BTreeSet;

use anyref_decoder::{MaskDecoderInput, PromptInput};
use anyref_ops as ops;
use anyref_vision::preprocess::PixelValues;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::cells::Cells;
use super::context::{StageContext, floats, indices};
use super::scene_context::SceneContext;
use crate::config::StageConfig;
use crate::losses::{
    BCE_WEIGHT, DICE_WEIGHT, cross_entropy, hits, mask_bce, mask_dice, mask_iou, resized,
};
use crate::stage::{Losses, Parts, Stage};
use crate::stage_error::StageError;
use crate::trainee::Trainee;
use anyref_data::scenes::phrases::named;
use anyref_data::scenes::{Mask, Split, mask_of};

/// Weight of the loss on the decoder's IoU estimate.
const IOU: f64 = 0.1;
/// Largest shift of a box edge, as a share of the box.
const JITTER: f32 = 0.1;

/// Stage that trains image encoder, prompt encoder and mask decoder.
#[derive(Debug)]
pub struct SamStage<'a> {
    context: &'a SceneContext,
    config: StageConfig,
    mask_size: usize,
}

/// Scenes and prompts on them.
#[derive(Debug)]
pub struct SamBatch {
    scenes: Vec<PixelValues>,
    names: Prompted,
    boxes: Prompted,
    points: Prompted,
    cells: Cells,
}

/// Prompts of one kind with their target masks.
#[derive(Debug, Default)]
struct Prompted {
    scenes: Vec<usize>,
    /// Box corners or points, in pixels of SAM's square.
    coordinates: Vec<f32>,
    /// Indices of the names.
    names: Vec<usize>,
    targets: Vec<f32>,
}

impl<'a> SamStage<'a> {
    /// Prepares the stage.
    pub fn new(context: &'a SceneContext, config: StageConfig) -> Self {
        let mask_size = context.mask_size(&config);
        Self {
            context,
            config,
            mask_size,
        }
    }

    fn make_batch(&self, split: Split, step: u64) -> Result<SamBatch, StageError> {
        let sam = self.context.sam();
        let mut rng = SmallRng::seed_from_u64(split.seed(self.context.seed, step));
        let mut batch = SamBatch {
            scenes: Vec::new(),
            names: Prompted::default(),
            boxes: Prompted::default(),
            points: Prompted::default(),
            cells: Cells::default(),
        };
        let side = self.context.mask_grid;
        for (index, scene) in self
            .context
            .scenes_of(split, step, self.config.batch)
            .iter()
            .enumerate()
        {
            let pixels = sam.process(&scene.image);
            let scale = pixels.resized_size[1] as f32 / pixels.original_size[1] as f32;
            let nouns: BTreeSet<&str> = scene.objects.iter().map(|o| o.noun.as_str()).collect();
            for noun in nouns {
                let Some(name) = self.context.name(noun) else {
                    continue;
                };
                let mask = mask_of(scene, &named(scene, noun));
                batch.names.names.push(name);
                batch.names.push(self.context, index, &mask, self.mask_size);
            }
            for object in &scene.objects {
                if let Some(name) = self.context.name(&object.noun) {
                    let shares = self.context.mask_target(&object.mask, side);
                    batch.cells.push(index, &shares, name);
                }
            }
            batch.scenes.push(pixels.pixels);
            // One object a scene by its position alone.
            let Some(object) = scene.objects.choose(&mut rng) else {
                continue;
            };
            let prompted = if (step as usize + index).is_multiple_of(2) {
                let corners = jittered(object.bounds, &mut rng).map(|value| value * scale);
                batch.boxes.coordinates.extend(corners);
                &mut batch.boxes
            } else {
                let point = inner_point(&object.mask, &mut rng).map(|value| (value + 0.5) * scale);
                batch.points.coordinates.extend(point);
                &mut batch.points
            };
            prompted.push(self.context, index, &object.mask, self.mask_size);
        }
        Ok(batch)
    }

    /// Mask logits, targets and IoU estimates of all prompts: names, then boxes, then points.
    fn forward<B: Backend>(&self, trainee: &Trainee<B>, batch: &SamBatch) -> SamOutput<B> {
        let device = trainee.heads.logit_scale.val().device();
        let model = trainee.anyref.mask_branch();
        let embeddings = model
            .image_encoder
            .forward(PixelValues::batch(&batch.scenes, &device));
        let (mut logits, mut targets, mut estimates) = (Vec::new(), Vec::new(), Vec::new());
        for prompted in batch.prompted() {
            let count = prompted.scenes.len();
            if count == 0 {
                continue;
            }
            let coordinates = prompted.coordinates.clone();
            let prompts = if !prompted.names.is_empty() {
                let vectors = trainee.heads.prompts.weight.val();
                let vectors = vectors.select(0, indices(&prompted.names, &device));
                PromptInput::default().with_embeddings(vectors.unsqueeze_dim(1))
            } else if coordinates.len() == 4 * count {
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
            cells: cell_logits(trainee, &batch.cells, embeddings),
        }
    }
}

/// Logits of every cell of the image embeddings for every name, `[cells, names]`, and the true
/// names.
fn cell_logits<B: Backend>(
    trainee: &Trainee<B>,
    cells: &Cells,
    embeddings: Tensor<B, 4>,
) -> CellLogits<B> {
    let [_, width, _, _] = embeddings.dims();
    let features = embeddings.flatten::<3>(2, 3).swap_dims(1, 2);
    let names = trainee.heads.prompts.weight.val().transpose();
    let (picked, targets) = cells.pick(features)?;
    Some((ops::matmul(picked, names) / (width as f64).sqrt(), targets))
}

/// Logits of cells and their names, if there are cells.
type CellLogits<B> = Option<(Tensor<B, 2>, Tensor<B, 1, Int>)>;

impl SamBatch {
    fn prompted(&self) -> [&Prompted; 3] {
        [&self.names, &self.boxes, &self.points]
    }
}

impl Prompted {
    fn push(&mut self, context: &StageContext, scene: usize, mask: &Mask, size: usize) {
        self.scenes.push(scene);
        self.targets.extend(context.scored_target(mask, size));
    }
}

struct SamOutput<B: Backend> {
    logits: Tensor<B, 3>,
    targets: Tensor<B, 3>,
    estimates: Tensor<B, 1>,
    cells: CellLogits<B>,
}

impl<B: AutodiffBackend> Stage<B> for SamStage<'_> {
    type Batch = SamBatch;

    fn batch(&self, step: u64) -> Result<SamBatch, StageError> {
        self.make_batch(Split::Train, step)
    }

    fn loss(&self, trainee: &Trainee<B>, batch: &SamBatch) -> Result<Losses<B>, StageError> {
        let mut output = self.forward(trainee, batch);
        let cells = output.cells.take();
        let (mut total, mut parts) = mask_losses(output);
        if let (Some((logits, names)), true) = (cells, self.config.name_weight > 0.0) {
            let name = cross_entropy(logits, names);
            total = total + name.clone() * self.config.name_weight;
            parts.push(("name", name));
        }
        Ok(Losses::new(total, parts))
    }

    fn validate(
        &self,
        trainee: &Trainee<B::InnerBackend>,
    ) -> Result<Vec<(String, f64)>, StageError> {
        let (mut sums, mut counts) = ([0.0; 3], [0; 3]);
        let (mut right, mut cells) = (0.0, 0);
        for step in 0..self.config.validation_scenes.div_ceil(self.config.batch) as u64 {
            let batch = self.make_batch(Split::Validation, step)?;
            let output = self.forward(trainee, &batch);
            let ious = mask_iou(output.logits, output.targets);
            let values: Vec<f32> = ious.into_data().convert::<f32>().iter::<f32>().collect();
            let mut values = values.into_iter();
            if let Some((logits, names)) = output.cells {
                cells += batch.cells.len();
                right += hits(logits, names);
            }
            for (kind, prompted) in batch.prompted().into_iter().enumerate() {
                let own = values.by_ref().take(prompted.scenes.len());
                sums[kind] += own.map(f64::from).sum::<f64>();
                counts[kind] += prompted.scenes.len();
            }
        }
        let mean = |kind: usize| sums[kind] / counts[kind].max(1) as f64;
        Ok(vec![
            ("name_iou".into(), mean(0)),
            ("box_iou".into(), mean(1)),
            ("point_iou".into(), mean(2)),
            ("cell_accuracy".into(), right / cells.max(1) as f64),
        ])
    }
}

/// Loss of predicted masks, and its parts.
fn mask_losses<B: AutodiffBackend>(output: SamOutput<B>) -> (Tensor<B, 1>, Parts<B>) {
    let ious = mask_iou(output.logits.clone().detach(), output.targets.clone());
    let bce = mask_bce(output.logits.clone(), output.targets.clone()).mean();
    let dice = mask_dice(output.logits, output.targets).mean();
    let estimate = (output.estimates - ious.clone()).powf_scalar(2.0).mean();
    let total = bce.clone() * BCE_WEIGHT + dice.clone() * DICE_WEIGHT + estimate * IOU;
    let parts = vec![("bce", bce), ("dice", dice), ("iou", ious.mean())];
    (total, parts)
}

/// Box with each edge shifted a little.
fn jittered([x0, y0, x1, y1]: [f32; 4], rng: &mut impl Rng) -> [f32; 4] {
    let (dx, dy) = ((x1 - x0) * JITTER, (y1 - y0) * JITTER);
    [
        x0 + rng.random_range(-dx..=dx),
        y0 + rng.random_range(-dy..=dy),
        x1 + rng.random_range(-dx..=dx),
        y1 + rng.random_range(-dy..=dy),
    ]
}

/// Random pixel of the mask.
fn inner_point(mask: &Mask, rng: &mut impl Rng) -> [f32; 2] {
    let pixels: Vec<_> = mask.pixels().collect();
    let &(x, y) = pixels.choose(rng).unwrap_or(&(0, 0));
    [x as f32, y as f32]
}
