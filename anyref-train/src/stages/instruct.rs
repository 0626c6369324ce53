//! AnyRef's own stage: instructions of every kind, with the paper's losses.

use std::collections::BTreeMap;

use anyhow::Result;
use anyref_core::{AnyRefModel, ReferenceBank, splice};
use anyref_decoder::refocus::ObjectToken;
use anyref_llm::LlamaInput;
use anyref_vision::preprocess::PixelValues;
use anyref_weights::ops;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, activation};

use super::context::{StageContext, floats, indices};
use super::instruct_batch::InstructBatch;
use super::regions::{embedded, name_logits, temperature};
use super::sam::resized;
use crate::data::Split;
use crate::losses::{
    BCE_WEIGHT, DICE_WEIGHT, cross_entropy, mask_bce, mask_dice, mask_iou, scalar,
};
use crate::run::config::StageConfig;
use crate::run::trainer::{Losses, Stage};
use crate::trainee::{PretrainingHeads, Trainee, normalised};

/// Weight of the mask decoder's estimate of its own IoU, which the paper leaves as SAM trained it, follows along.
const IOU: f64 = 0.05;

/// Tunes the model on instructions.
#[derive(Debug)]
pub struct InstructStage<'a> {
    context: &'a StageContext,
    config: StageConfig,
    mask_size: usize,
}

/// What the model makes of a batch.
#[derive(Debug)]
pub struct InstructOutput<B: Backend> {
    /// Logits of the answers' tokens, `[tokens, vocabulary]`.
    pub logits: Tensor<B, 2>,
    /// Mask logits and true shares, `[objects, size, size]`; absent when nothing is pointed at.
    pub masks: Option<(Tensor<B, 3>, Tensor<B, 3>)>,
    /// The decoder's own IoU estimates, `[objects]`.
    pub estimates: Option<Tensor<B, 1>>,
    /// CLIP features of the scenes, `[scenes, patches, channels]`.
    pub features: Tensor<B, 3>,
    /// Mask prompts of the objects `[objects, width]` and SAM's embeddings of the scenes
    /// `[scenes, width, rows, columns]`.
    pub grounding: Option<(Tensor<B, 2>, Tensor<B, 4>)>,
}

/// Runs a batch with the true answers given (teacher forcing). Every scene is encoded once, and the
/// sequence up to the picture's end is read once a scene.
pub fn instruct_forward<B: Backend>(
    model: &AnyRefModel<B>,
    batch: &InstructBatch,
    device: &B::Device,
) -> InstructOutput<B> {
    let scenes = batch.clip.len();
    let pixels = PixelValues::batch(&batch.clip, device);
    let features = model.vision_tower.features(pixels, model.select_layer());
    let picture = model.picture_features_from(features.clone());

    let mut bank = ReferenceBank::default();
    if !batch.images.is_empty() {
        bank.push(model.image_reference(PixelValues::batch(&batch.images, device)));
    }
    if !batch.boxes.is_empty() {
        bank.push(model.box_reference(picture.grid.clone(), &batch.boxes));
    }
    if let Some(first) = batch.sounds.first() {
        let [clips, channels, mel, frames] = first.shape;
        let values = batch
            .sounds
            .iter()
            .flat_map(|sound| sound.data.iter().copied())
            .collect();
        let sounds = floats(
            values,
            [batch.sounds.len(), clips, channels, mel, frames],
            device,
        );
        if let Some(features) = model.audio_reference(sounds) {
            bank.push(features);
        }
    }

    let prefixes = vec![batch.prefix.clone(); scenes];
    let empty = ReferenceBank::default();
    let prefix = splice(
        &model.llm,
        &prefixes,
        Some(picture.tokens),
        &empty,
        0,
        device,
    );
    let mut cache = model.llm.new_cache();
    model
        .llm
        .forward(LlamaInput::new(prefix.embeddings), Some(&mut cache));
    let past = cache.len();
    let mut cache = cache.repeat(batch.per_scene);
    let rows = splice(&model.llm, &batch.rows, None, &bank, past, device);
    let input = LlamaInput::new(rows.embeddings).with_padding(rows.padding);
    let output = model.llm.forward(input, Some(&mut cache));

    let [count, length, width] = output.hidden.dims();
    let predictors: Vec<usize> = batch
        .predictors
        .iter()
        .map(|&(row, position)| row * length + position)
        .collect();
    let states = output
        .hidden
        .clone()
        .reshape([count * length, width])
        .select(0, indices(&predictors, device));
    let logits = model.llm.logits(states.unsqueeze()).squeeze_dim(0);

    if batch.objects.is_empty() {
        return InstructOutput {
            logits,
            masks: None,
            estimates: None,
            features,
            grounding: None,
        };
    }
    let [_, heads, _, head_dim] = output.query.dims();
    let at: Vec<usize> = batch
        .objects
        .iter()
        .map(|object| object.row * length + object.position)
        .collect();
    let query = ops::permute(output.query, [0, 2, 1, 3])
        .reshape([count * length, heads, head_dim])
        .select(0, indices(&at, device));
    let objects = batch
        .objects
        .iter()
        .map(|object| ObjectToken {
            row: object.row,
            position: past + object.position,
            start: past + object.start,
            end: past + object.position,
            context_start: 0,
        })
        .collect();
    let prompts = model.object_prompts(query, output.key, output.hidden, past, objects);

    let embeddings = model
        .image_encoder
        .forward(PixelValues::batch(&batch.sam, device));
    let grounding = Some((prompts.clone(), embeddings.clone()));
    let scene_of = indices(&batch.scene_of_objects(), device);
    let decoded = model.decode_masks(embeddings.select(0, scene_of), prompts);
    let size = batch.mask_size;
    let targets = floats(
        batch.masks.clone(),
        [batch.objects.len(), size, size],
        device,
    );
    InstructOutput {
        logits,
        masks: Some((resized(decoded.low_res_masks, size), targets)),
        estimates: Some(decoded.iou_predictions.squeeze_dim(1)),
        features,
        grounding,
    }
}

/// The mask losses when the same objects are asked for by their names' vectors, as SAM was prompted with
/// CLIP's text embeddings (Kirillov et al. 2023, section 7.5): a short way for names to get a meaning in
/// SAM's embedding. The second loss brings the language model's prompts near those of the names.
fn promptable_losses<B: Backend>(
    trainee: &Trainee<B>,
    prompts: Tensor<B, 2>,
    embeddings: Tensor<B, 4>,
    batch: &InstructBatch,
) -> [Tensor<B, 1>; 2] {
    let (model, heads) = (&trainee.anyref, &trainee.heads);
    let device = embeddings.device();
    let (count, size) = (batch.objects.len(), batch.mask_size);
    let names = heads
        .names
        .weight
        .val()
        .select(0, indices(&batch.nouns, &device));
    let names = heads.prompt.forward(normalised(names));
    let scene_of = indices(&batch.scene_of_objects(), &device);
    let decoded = model.decode_masks(embeddings.select(0, scene_of), names.clone());
    let logits = resized(decoded.low_res_masks, size);
    let targets = floats::<B, 3>(batch.noun_masks.clone(), [count, size, size], &device);
    let masks = mask_bce(logits.clone(), targets.clone()).mean() * BCE_WEIGHT
        + mask_dice(logits, targets).mean() * DICE_WEIGHT;
    let apart = prompts - names.detach();
    [masks, (apart.clone() * apart).mean()]
}

/// How far the mask prompts are from the regions that they point at, against all regions of the batch:
/// the mean over a region's patches of SAM's embedding should look like the prompt, and no other region.
fn region_loss<B: Backend>(
    heads: &PretrainingHeads<B>,
    prompts: Tensor<B, 2>,
    embeddings: Tensor<B, 4>,
    batch: &InstructBatch,
) -> Tensor<B, 1> {
    let device = prompts.device();
    let [scenes, width, rows, columns] = embeddings.dims();
    let patches = embeddings.reshape([scenes, width, rows * columns]);
    let regions = normalised(batch.grounds.pool(ops::permute(patches, [0, 2, 1])));
    let [count, _] = regions.dims();
    let logits = normalised(prompts).matmul(regions.transpose()) * temperature(heads);
    let mut shares = vec![0.0; batch.pointed.len() * count];
    for (row, pointed) in shares.chunks_exact_mut(count).zip(&batch.pointed) {
        for &region in pointed {
            row[region] = 1.0 / pointed.len() as f32;
        }
    }
    let shares = floats::<B, 2>(shares, [batch.pointed.len(), count], &device);
    -(activation::log_softmax(logits, 1) * shares)
        .sum_dim(1)
        .mean()
}

impl<'a> InstructStage<'a> {
    /// Prepares the stage.
    pub fn new(context: &'a StageContext, config: StageConfig) -> Self {
        let mask_size = context.mask_size(&config);
        Self {
            context,
            config,
            mask_size,
        }
    }

    fn make_batch(&self, split: Split, step: u64) -> Result<InstructBatch> {
        let context = self.context;
        let scenes: Vec<_> = context
            .scenes_of(split, step, self.config.batch)
            .into_iter()
            .map(|scene| {
                let asked = context
                    .scenes
                    .instructions(&scene, &context.instructions, step);
                (scene, asked)
            })
            .collect();
        InstructBatch::new(
            context,
            &scenes,
            context.instructions.per_scene,
            self.mask_size,
        )
    }
}

impl<B: AutodiffBackend> Stage<B> for InstructStage<'_> {
    type Batch = InstructBatch;

    fn batch(&self, step: u64) -> Result<InstructBatch> {
        self.make_batch(Split::Train, step)
    }

    fn loss(&self, trainee: &Trainee<B>, batch: &InstructBatch) -> Result<Losses<B>> {
        let device = trainee.heads.logit_scale.val().device();
        let output = instruct_forward(&trainee.anyref, batch, &device);
        let language = cross_entropy(output.logits, indices(&batch.predicted, &device));
        let mut parts = vec![("language", language.clone())];
        let mut total = language;
        if let (Some((logits, targets)), Some(estimates)) = (output.masks, output.estimates) {
            let ious = mask_iou(logits.clone().detach(), targets.clone());
            let bce = mask_bce(logits.clone(), targets.clone()).mean();
            let dice = mask_dice(logits, targets).mean();
            let estimate = (estimates - ious.clone()).powf_scalar(2.0).mean();
            parts.extend([
                ("bce", bce.clone()),
                ("dice", dice.clone()),
                ("iou", ious.mean()),
            ]);
            total = total + bce * BCE_WEIGHT + dice * DICE_WEIGHT + estimate * IOU;
        }
        if let Some((prompts, embeddings)) = output.grounding {
            if self.config.promptable_weight > 0.0 {
                let [named, apart] =
                    promptable_losses(trainee, prompts.clone(), embeddings.clone(), batch);
                parts.extend([("named", named.clone()), ("apart", apart.clone())]);
                total = total + (named + apart) * self.config.promptable_weight;
            }
            if self.config.region_weight > 0.0 {
                let region = region_loss(&trainee.heads, prompts, embeddings, batch);
                parts.push(("region", region.clone()));
                total = total + region * self.config.region_weight;
            }
        }
        if self.config.name_weight > 0.0 {
            let features = trainee
                .anyref
                .vision_tower
                .post_layernorm
                .forward(output.features);
            let embedded = embedded(&trainee.heads, batch.regions.pool(features));
            let names = indices(&batch.regions.names, &device);
            let name = cross_entropy(name_logits(&trainee.heads, embedded), names);
            parts.push(("name", name.clone()));
            total = total + name * self.config.name_weight;
        }
        Ok(Losses { total, parts })
    }

    fn validate(&self, trainee: &Trainee<B::InnerBackend>) -> Result<Vec<(String, f64)>> {
        let device = trainee.heads.logit_scale.val().device();
        // Always there, so that it is what decides which checkpoint is best.
        let mut ious: BTreeMap<String, (f64, usize)> = [("iou".to_owned(), (0.0, 0))].into();
        let (mut language, mut batches) = (0.0, 0.0);
        for step in 0..self.config.validation_scenes.div_ceil(self.config.batch) as u64 {
            let batch = self.make_batch(Split::Validation, step)?;
            let output = instruct_forward(&trainee.anyref, &batch, &device);
            let loss = cross_entropy(output.logits, indices(&batch.predicted, &device));
            language += scalar(loss);
            batches += 1.0;
            let Some((logits, targets)) = output.masks else {
                continue;
            };
            let values = mask_iou(logits, targets).into_data().convert::<f32>();
            for (object, iou) in batch.objects.iter().zip(values.iter::<f32>()) {
                let kind = format!("{:?}_iou", batch.kinds[object.row]).to_lowercase();
                for name in ["iou".to_owned(), kind] {
                    let entry = ious.entry(name).or_default();
                    entry.0 += f64::from(iou);
                    entry.1 += 1;
                }
            }
        }
        let mut scores: Vec<_> = ious
            .into_iter()
            .map(|(name, (sum, count))| (name, sum / count.max(1) as f64))
            .collect();
        scores.sort_by_key(|(name, _)| name != "iou");
        scores.push(("language".into(), language / batches));
        Ok(scores)
    }
}
