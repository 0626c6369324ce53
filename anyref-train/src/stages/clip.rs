//! CLIP at small scale: regions of scenes against names, and against other pictures of the same
//! object.
//!
//! CLIP aligns a picture with its caption (Radford et al. 2021). A scene here has several objects,
//! each with an exact mask and a name, so every object is treated as a picture: the patch features
//! under its mask are averaged and matched with the names' vectors. A reference picture is matched
//! the same way, and also with the region that shows the same object, as picture references
//! require; this carries over to objects without a name.
//!
//! Both losses apply to two layers: the last, as CLIP trains it, and the one that the language
//! model sees, which would carry little signal otherwise in a tower of few layers. With
//! `name_weight` each patch of a region is also matched with its name, because a language model
//! sees single patches.

use anyref_ops as ops;
use anyref_vision::preprocess::PixelValues;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor};

use super::cells::Cells;
use super::context::indices;
use super::regions::{Regions, embedded, name_logits, temperature};
use super::scene_context::SceneContext;
use crate::config::StageConfig;
use crate::losses::{cross_entropy, hits};
use crate::stage::{Losses, Stage};
use crate::stage_error::StageError;
use crate::trainee::Trainee;
use anyref_core::Reference;
use anyref_data::scenes::{InstructionConfig, Kind, KindWeights, Split};

/// Weight of the picture-to-picture loss.
const PICTURE_WEIGHT: f64 = 0.5;

/// Stage that trains the vision tower.
#[derive(Debug)]
pub struct ClipStage<'a> {
    context: &'a SceneContext,
    config: StageConfig,
}

/// Scenes with their regions, and pictures of some of the objects.
#[derive(Debug)]
pub struct ClipBatch {
    scenes: Vec<PixelValues>,
    pictures: Vec<PixelValues>,
    regions: Regions,
    /// Region of the object in each picture.
    picture_regions: Vec<usize>,
    cells: Cells,
}

impl<'a> ClipStage<'a> {
    /// Prepares the stage.
    pub fn new(context: &'a SceneContext, config: StageConfig) -> Self {
        Self { context, config }
    }

    fn make_batch(&self, split: Split, step: u64) -> Result<ClipBatch, StageError> {
        let context = self.context;
        let clip = context.clip();
        let asked = InstructionConfig {
            per_scene: 1,
            weights: KindWeights::only(Kind::Image),
            // The object in a picture must be one of the regions.
            made_up_probability: 0.0,
            ..context.instructions.clone()
        };
        let scenes = context.scenes_of(split, step, self.config.batch);
        let mut batch = ClipBatch {
            scenes: Vec::new(),
            pictures: Vec::new(),
            regions: Regions::new(context, scenes.iter()),
            picture_regions: Vec::new(),
            cells: Cells::default(),
        };
        let side = context.model.vision_tower.grid_size();
        let mut first = 0;
        for (index, scene) in scenes.iter().enumerate() {
            for object in &scene.objects {
                if let Some(name) = context.name(&object.noun) {
                    let shares = object.mask.coverage(side, side);
                    batch.cells.push(index, &shares, name);
                }
            }
            for instruction in context.scenes.instructions(scene, &asked, step) {
                let target = instruction.targets.first().and_then(|t| t.objects.first());
                let (Some(Reference::Image(image)), Some(&object)) =
                    (instruction.references.into_iter().next(), target)
                else {
                    continue;
                };
                batch.pictures.push(clip.process(image.image()));
                batch.picture_regions.push(first + object);
            }
            first += scene.objects.len();
            batch.scenes.push(clip.process(&scene.image));
        }
        Ok(batch)
    }

    fn forward<B: Backend>(&self, trainee: &Trainee<B>, batch: &ClipBatch) -> ClipOutput<B> {
        let heads = &trainee.heads;
        let device = heads.logit_scale.val().device();
        let tower = trainee.anyref.vision_tower.clip();
        let mut pixels = PixelValues::batch::<B>(&batch.scenes, &device);
        if !batch.pictures.is_empty() {
            pixels = Tensor::cat(
                vec![pixels, PixelValues::batch(&batch.pictures, &device)],
                0,
            );
        }
        let states = tower.hidden_states(pixels);
        let (last, selected) = (states.len() - 1, trainee.anyref.select_layer());
        let selected = (selected.rem_euclid(states.len() as i32)) as usize;
        let mut layers = vec![selected];
        if selected != last {
            layers.push(last);
        }
        let regions = batch.regions.names.len();
        let shown = batch
            .picture_regions
            .iter()
            .map(|&region| batch.regions.names[region]);
        let names: Vec<usize> = batch.regions.names.iter().copied().chain(shown).collect();
        let logits = layers.into_iter().map(|layer| {
            let [_, tokens, width] = states[layer].dims();
            let patches = states[layer].clone().narrow(1, 1, tokens - 1);
            let features = tower.post_layernorm.forward(patches);
            let (scenes, pictures) = (batch.scenes.len(), batch.pictures.len());
            let seen = features.clone().narrow(0, 0, scenes);
            let cells = batch.cells.pick(seen.clone()).map(|(picked, names)| {
                let embedded = embedded(heads, picked);
                cross_entropy(name_logits(heads, embedded), names)
            });
            let mut pooled = vec![batch.regions.pool(seen)];
            if pictures > 0 {
                let whole = features.narrow(0, scenes, pictures).mean_dim(1);
                pooled.push(whole.reshape([pictures, width]));
            }
            let embedded = embedded(heads, Tensor::cat(pooled, 0));
            let pictures = (pictures > 0).then(|| {
                let rows = embedded.clone().narrow(0, regions, pictures);
                let columns = embedded.clone().narrow(0, 0, regions).transpose();
                ops::matmul(rows, columns) * temperature(heads)
            });
            LayerLogits {
                names: name_logits(heads, embedded),
                pictures,
                cells,
            }
        });
        ClipOutput {
            layers: logits.collect(),
            names: indices(&names, &device),
            picture_regions: indices(&batch.picture_regions, &device),
        }
    }
}

/// Logits of one layer.
struct LayerLogits<B: Backend> {
    names: Tensor<B, 2>,
    pictures: Option<Tensor<B, 2>>,
    /// Cross-entropy of the single patches.
    cells: Option<Tensor<B, 1>>,
}

struct ClipOutput<B: Backend> {
    /// Layers, the language model's first.
    layers: Vec<LayerLogits<B>>,
    names: Tensor<B, 1, Int>,
    picture_regions: Tensor<B, 1, Int>,
}

impl<B: AutodiffBackend> Stage<B> for ClipStage<'_> {
    type Batch = ClipBatch;

    fn batch(&self, step: u64) -> Result<ClipBatch, StageError> {
        self.make_batch(Split::Train, step)
    }

    fn loss(&self, trainee: &Trainee<B>, batch: &ClipBatch) -> Result<Losses<B>, StageError> {
        let output = self.forward(trainee, batch);
        let count = output.layers.len() as f64;
        let mean = |losses: Vec<Tensor<B, 1>>| Tensor::cat(losses, 0).sum() / count;
        let names = output
            .layers
            .iter()
            .map(|layer| cross_entropy(layer.names.clone(), output.names.clone()));
        let name = mean(names.collect());
        let mut parts = vec![("name", name.clone())];
        let mut total = name;
        let weight = self.config.name_weight;
        let cells: Vec<_> = output
            .layers
            .iter()
            .filter_map(|layer| layer.cells.clone())
            .collect();
        if weight > 0.0 && !cells.is_empty() {
            let cell = mean(cells);
            parts.push(("cell", cell.clone()));
            total = total + cell * weight;
        }
        let pictures: Vec<_> = output
            .layers
            .into_iter()
            .filter_map(|layer| layer.pictures)
            .map(|logits| cross_entropy(logits, output.picture_regions.clone()))
            .collect();
        if !pictures.is_empty() {
            let picture = mean(pictures);
            parts.push(("picture", picture.clone()));
            total = total + picture * PICTURE_WEIGHT;
        }
        Ok(Losses::new(total, parts))
    }

    fn validate(
        &self,
        trainee: &Trainee<B::InnerBackend>,
    ) -> Result<Vec<(String, f64)>, StageError> {
        let (mut right, mut all, mut found, mut asked) = (0.0, 0.0, 0.0, 0.0);
        let steps = self.config.validation_scenes.div_ceil(self.config.batch) as u64;
        for step in 0..steps {
            let batch = self.make_batch(Split::Validation, step)?;
            let output = self.forward(trainee, &batch);
            let Some(seen) = output.layers.into_iter().next() else {
                continue;
            };
            right += hits(seen.names, output.names);
            all += (batch.regions.names.len() + batch.pictures.len()) as f64;
            if let Some(logits) = seen.pictures {
                found += hits(logits, output.picture_regions);
                asked += batch.pictures.len() as f64;
            }
        }
        Ok(vec![
            ("name_accuracy".into(), right / all),
            ("picture_accuracy".into(), found / asked),
        ])
    }
}
