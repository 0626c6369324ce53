//! AnyRef's own stage: instructions of every kind, with the paper's losses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyref_core::{AnyRefModel, Layout, MaskFeatures};
use anyref_llm::Llama;
use anyref_ops as ops;
use anyref_vision::preprocess::PixelValues;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Int, Tensor};

use super::context::{StageContext, indices};
use super::data_questions::DataSources;
use super::instruct_batch::InstructBatch;
use super::instruct_forward::{
    InstructOutput, forward_encoded, instruct_forward_by, mask_features, tower_features,
};
use super::presence::Presence;
use super::questions::Questions;
use super::regions::{Regions, embedded, name_logits};
use super::scene_context::SceneContext;
use super::shared_prefix::{PrefixOutput, SharedPrefix};
use crate::config::StageConfig;
use crate::feature_cache::FeatureCaches;
use crate::losses::{
    BCE_WEIGHT, DICE_WEIGHT, cross_entropy, mask_bce, mask_dice, mask_iou, scalar,
};
use crate::stage::{Losses, Stage};
use crate::stage_error::StageError;
use crate::trainee::{PretrainingHeads, Trainee, normalised};
use anyref_data::scenes::Split;

/// Inverse temperature of the cosines between features and words.
const WORD_SCALE: f64 = 16.0;

/// Stage that trains the model on instructions.
#[derive(Debug)]
pub struct InstructStage<'a> {
    questions: Questions<'a>,
    config: StageConfig,
    /// Tokens of each name of the scenes.
    words: Vec<Vec<u32>>,
    /// Cached features, opened at the first use.
    caches: Mutex<Option<Arc<FeatureCaches>>>,
}

/// Mean squared distance of the language model's mask prompts from the names' prompts, which the
/// mask decoder was trained with, for answers that point at every object of a name.
fn prompt_loss<B: Backend>(
    heads: &PretrainingHeads<B>,
    prompts: Tensor<B, 2>,
    batch: &InstructBatch,
) -> Option<Tensor<B, 1>> {
    if batch.all_of_name.is_empty() {
        return None;
    }
    let device = prompts.device();
    let names: Vec<usize> = batch
        .all_of_name
        .iter()
        .map(|&object| batch.object_names[object])
        .collect();
    let vectors = heads.prompts.weight.val().detach();
    let vectors = vectors.select(0, indices(&names, &device));
    let apart = prompts.select(0, indices(&batch.all_of_name, &device)) - vectors;
    Some((apart.clone() * apart).mean())
}

impl<'a> InstructStage<'a> {
    /// Prepares a stage that is trained on scenes.
    ///
    /// # Errors
    /// When a name cannot be tokenised.
    pub fn new(context: &'a SceneContext, config: StageConfig) -> Result<Self, StageError> {
        let words = context
            .names()
            .map(|name| Ok(context.tokenizer.encode(name, false)?))
            .collect::<Result<_, StageError>>()?;
        Ok(Self {
            questions: Questions::Scenes(context),
            config,
            words,
            caches: Mutex::default(),
        })
    }

    /// Prepares a stage that is trained on data sets.
    pub(crate) fn with_data(
        context: &'a StageContext,
        sources: &'a DataSources,
        config: StageConfig,
    ) -> Self {
        Self {
            questions: Questions::Data { context, sources },
            config,
            words: Vec::new(),
            caches: Mutex::default(),
        }
    }

    /// Runs [`instruct_forward`](fn@super::instruct_forward) with cached features.
    pub(super) fn forward<B: Backend>(
        &self,
        model: &AnyRefModel<B>,
        batch: &InstructBatch,
        device: &B::Device,
    ) -> Result<InstructOutput<B>, StageError> {
        self.forward_by(SharedPrefix::read, model, batch, device)
    }

    fn forward_by<B: Backend>(
        &self,
        read: impl FnOnce(SharedPrefix<B>) -> PrefixOutput<B>,
        model: &AnyRefModel<B>,
        batch: &InstructBatch,
        device: &B::Device,
    ) -> Result<InstructOutput<B>, StageError> {
        let Some(config) = &self.config.features else {
            return Ok(instruct_forward_by(read, model, batch, device));
        };
        let caches = {
            let mut opened = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
            match &*opened {
                Some(caches) => caches.clone(),
                None => {
                    let caches = Arc::new(FeatureCaches::open(config, model)?);
                    *opened = Some(caches.clone());
                    caches
                }
            }
        };
        let encode = |new: &[PixelValues]| tower_features(model, new, device);
        let features = caches.tower.features(&batch.tower, device, encode)?;
        let for_masks = || {
            // Levels of SAM 2 pass through its decoder, and are many.
            let Some(cache) = &caches.sam else {
                return Ok(mask_features(model, &batch.sam, device));
            };
            let encode = |new: &[PixelValues]| mask_features(model, new, device).embeddings;
            let embeddings = cache.features(&batch.sam, device, encode)?;
            Ok(MaskFeatures::of_sam(embeddings))
        };
        forward_encoded(model, batch, features, for_masks, read, device)
    }

    pub(super) fn context(&self) -> &'a StageContext {
        self.questions.context()
    }

    /// Questions of a step; `None` when there is nothing to validate on.
    pub(super) fn batch_of(
        &self,
        split: Split,
        step: u64,
    ) -> Result<Option<InstructBatch>, StageError> {
        let mut batch = self.questions.batch(&self.config, split, step)?;
        if let Some(batch) = batch.as_mut().filter(|_| self.config.absent_weight == 0.0) {
            batch.absent.clear();
        }
        Ok(batch)
    }

    /// Cross-entropy over all names of the cosine between a feature and the mean embedding of a
    /// name's tokens. It aligns the features of a picture, a sound or a region with the words of
    /// its name.
    ///
    /// # Shapes
    /// - features: `[n, hidden]`, one a name
    fn word_loss<B: Backend>(
        &self,
        llm: &Llama<B>,
        features: Tensor<B, 2>,
        names: &[usize],
    ) -> Tensor<B, 1> {
        let device = features.device();
        let [_, hidden] = features.dims();
        let words = self.words.iter().map(|tokens| {
            let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
            let ids = Tensor::<B, 1, Int>::from_data(ids.as_slice(), &device);
            llm.embed(ids.unsqueeze())
                .detach()
                .mean_dim(1)
                .reshape([1, hidden])
        });
        let words = normalised(Tensor::cat(words.collect(), 0).cast(DType::F32));
        let features = normalised(features.cast(DType::F32));
        let logits = ops::matmul(features, words.transpose()) * WORD_SCALE;
        cross_entropy(logits, indices(names, &device))
    }

    /// Mean of the [`word_loss`](Self::word_loss) of the objects in a batch and that of its
    /// references.
    fn reference_loss<B: Backend>(
        &self,
        model: &AnyRefModel<B>,
        references: Option<Tensor<B, 2>>,
        features: Tensor<B, 3>,
        batch: &InstructBatch,
        regions: &Regions,
    ) -> Tensor<B, 1> {
        let device = features.device();
        let dtype = features.dtype();
        let pooled = regions.pool(features.cast(DType::F32)).cast(dtype);
        let objects = model.mm_projector.layers().forward(pooled);
        let loss = self.word_loss(&model.llm, objects, &regions.names);
        let (rows, names): (Vec<usize>, Vec<usize>) = batch
            .reference_names
            .iter()
            .enumerate()
            .filter_map(|(row, noun)| Some((row, (*noun)?)))
            .unzip();
        match references {
            Some(references) if !rows.is_empty() => {
                let references = references.select(0, indices(&rows, &device));
                (loss + self.word_loss(&model.llm, references, &names)) / 2.0
            }
            _ => loss,
        }
    }
}

impl<B: AutodiffBackend> Stage<B> for InstructStage<'_> {
    type Batch = InstructBatch;

    fn batch(&self, step: u64) -> Result<InstructBatch, StageError> {
        let batch = self.batch_of(Split::Train, step)?;
        batch.ok_or(StageError::NothingToLearn)
    }

    fn tokens(&self, batch: &InstructBatch) -> usize {
        let rows = batch.rows.iter().map(Layout::len).sum::<usize>();
        batch.prefixes.iter().map(Layout::len).sum::<usize>() + rows
    }

    fn loss(&self, trainee: &Trainee<B>, batch: &InstructBatch) -> Result<Losses<B>, StageError> {
        let device = trainee.heads.logit_scale.val().device();
        let mut checkpointed = None;
        let read = |shared: SharedPrefix<B>| match self.config.recompute_layers {
            true => {
                let (output, layers) = shared.read_checkpointed();
                checkpointed = Some(layers);
                output
            }
            false => shared.read(),
        };
        let output = self.forward_by(read, &trainee.anyref, batch, &device)?;
        let language = cross_entropy(output.logits, indices(&batch.predicted_tokens(), &device));
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
            total = total
                + bce * BCE_WEIGHT
                + dice * DICE_WEIGHT
                + estimate * self.config.estimate_weight;
        }
        let mut add = |name, weight: f64, loss: Option<Tensor<B, 1>>| {
            if let Some(loss) = loss {
                total = total.clone() + loss.clone() * weight;
                parts.push((name, loss));
            }
        };
        if self.config.prompt_weight > 0.0
            && let Some(prompts) = output.prompts
        {
            let loss = prompt_loss(&trainee.heads, prompts, batch);
            add("prompt", self.config.prompt_weight, loss);
        }
        // For an absent object, the IoU of any mask is 0.
        let absent = output
            .absent
            .map(|estimates| estimates.powf_scalar(2.0).mean());
        add("absent", self.config.absent_weight, absent);
        let regions = batch.regions.as_ref();
        if self.config.reference_weight > 0.0
            && let Some(regions) = regions
        {
            let (features, references) = (output.features.clone(), output.references);
            let loss = self.reference_loss(&trainee.anyref, references, features, batch, regions);
            add("reference", self.config.reference_weight, Some(loss));
        }
        if self.config.name_weight > 0.0
            && let Some(regions) = regions
        {
            let features = trainee
                .anyref
                .vision_tower
                .clip()
                .post_layernorm
                .forward(output.features);
            let features = features.cast(DType::F32);
            let embedded = embedded(&trainee.heads, regions.pool(features));
            let names = indices(&regions.names, &device);
            let name = cross_entropy(name_logits(&trainee.heads, embedded), names);
            add("name", self.config.name_weight, Some(name));
        }
        Ok(Losses::new(total, parts).with_checkpointed(checkpointed))
    }

    fn validate(
        &self,
        trainee: &Trainee<B::InnerBackend>,
    ) -> Result<Vec<(String, f64)>, StageError> {
        let device = trainee.heads.logit_scale.val().device();
        // Always present, because it selects the best checkpoint.
        let mut ious: BTreeMap<String, (f64, usize)> = [("iou".to_owned(), (0.0, 0))].into();
        let mut presence = Presence::default();
        let (mut language, mut batches) = (0.0, 0.0);
        for step in 0..self.config.validation_scenes.div_ceil(self.config.batch) as u64 {
            let Some(batch) = self.batch_of(Split::Validation, step)? else {
                return Ok(Vec::new());
            };
            let output = self.forward(&trainee.anyref, &batch, &device)?;
            let loss = cross_entropy(output.logits, indices(&batch.predicted_tokens(), &device));
            language += scalar(loss);
            batches += 1.0;
            presence.extend(output.estimates, output.absent);
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
        scores.extend(presence.told_apart().map(|auc| ("presence".into(), auc)));
        Ok(scores)
    }
}
