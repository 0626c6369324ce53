//! What a training run is made of, as JSON.

use core::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result as Checked, ensure};
use anyref_core::AnyRefConfig;
use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::precision::Precision;
use super::schedule::{Decay, Schedule};
use crate::stages::FeatureCacheConfig;
use anyref_data::datasets::WeightedSource;
use anyref_data::scenes::{InstructionConfig, SceneConfig};

/// A training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Name of the run; its folder is `runs/NAME` unless told otherwise.
    pub name: String,
    /// Seed of weights and data.
    pub seed: u64,
    /// The model: the name of a preset, a preset with other values in some places, as in `{"preset": "anyref-7b", "lora":
    /// {"r": 16}}`, or a config.
    #[serde(deserialize_with = "preset_or_config")]
    pub model: AnyRefConfig,
    /// A model folder whose config, tokenizer and weights the run starts from, such as `anyref assemble` writes. Of
    /// [`model`](Self::model) only the adapters count then, which start afresh where the folder has none.
    #[serde(default)]
    pub start: Option<PathBuf>,
    /// Entries of the tokenizer trained for this model, where it does not come with `start`.
    #[serde(default)]
    pub vocabulary: usize,
    /// The scenes of the stages that name no data sets.
    #[serde(default)]
    pub scenes: SceneConfig,
    /// What is asked about them.
    #[serde(default)]
    pub instructions: InstructionConfig,
    /// Use the procedural shapes instead of the stamps, which need a download.
    #[serde(default)]
    pub shapes: bool,
    /// Parts that start from trained weights, before the first stage.
    #[serde(default)]
    pub initial: Vec<InitialWeights>,
    /// The stages, in order.
    pub stages: Vec<StageConfig>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between validations.
    pub validate_every: u64,
    /// Checkpoints kept.
    pub keep_checkpoints: usize,
}

impl TrainConfig {
    /// Whether a stage learns from scenes, or the tokenizer does.
    pub fn needs_scenes(&self) -> bool {
        self.start.is_none() || self.stages.iter().any(|stage| stage.data.is_none())
    }

    /// Refuses what could only fail later, or teach nothing.
    ///
    /// # Errors
    /// When a number that must be positive is 0, or the parts of the model do not fit together.
    pub fn check(&self) -> Checked<()> {
        self.model.validate()?;
        ensure!(
            self.start.is_some() || self.vocabulary > 0,
            "`vocabulary` is 0: give the tokenizer's entries, or a model to `start` from"
        );
        ensure!(
            !self.stages.is_empty(),
            "the configuration trains nothing: it has no `stages`"
        );
        let asked = &self.instructions;
        ensure!(
            asked.box_jitter.is_finite() && asked.box_jitter >= 0.0,
            "`instructions.box_jitter` must be 0 or more"
        );
        for (name, value) in [
            ("mask_crop_probability", asked.mask_crop_probability),
            ("describe_mask_probability", asked.describe_mask_probability),
            ("misnaming_probability", asked.misnaming_probability),
            ("twin_probability", asked.twin_probability),
            ("placed_probability", asked.placed_probability),
            ("made_up_probability", asked.made_up_probability),
            ("size_probability", asked.size_probability),
        ] {
            ensure!(
                (0.0..=1.0).contains(&value),
                "`instructions.{name}` must lie in 0 to 1"
            );
        }
        ensure!(
            asked.made_up_probability == 0.0 || self.scenes.made_up > 0.0,
            "`instructions.made_up_probability` asks for things without a name, and `scenes.made_up` is 0: no scene has any"
        );
        for (name, value) in [
            ("checkpoint_every", self.checkpoint_every),
            ("validate_every", self.validate_every),
        ] {
            ensure!(
                value > 0,
                "`{name}` is 0: give the steps between two of them"
            );
        }
        self.check_prompts()?;
        for stage in &self.stages {
            for (name, value) in [
                ("steps", stage.steps),
                ("batch", stage.batch as u64),
                ("accumulation", stage.accumulation),
                ("validation_scenes", stage.validation_scenes as u64),
            ] {
                ensure!(value > 0, "`{name}` of stage {} is 0", stage.kind);
            }
            for (name, weight) in [
                ("name_weight", stage.name_weight),
                ("prompt_weight", stage.prompt_weight),
                ("reference_weight", stage.reference_weight),
                ("estimate_weight", stage.estimate_weight),
                ("absent_weight", stage.absent_weight),
            ] {
                ensure!(
                    weight.is_finite() && weight >= 0.0,
                    "`{name}` of stage {} is no weight of a loss: give 0 or more",
                    stage.kind
                );
            }
            ensure!(
                stage
                    .ema_decay
                    .is_none_or(|decay| (0.0..1.0).contains(&decay)),
                "`ema_decay` of stage {} must lie in 0 to 1 and be less than 1",
                stage.kind
            );
            stage.check_data()?;
            for (name, given) in [
                ("recompute", stage.recompute),
                ("recompute_layers", stage.recompute_layers),
                ("features", stage.features.is_some()),
                ("precision", stage.precision != Precision::F32),
                ("absent_weight", stage.absent_weight > 0.0),
            ] {
                ensure!(
                    !given || stage.kind == StageKind::Instruct,
                    "stage {} takes no `{name}`: only instruct does",
                    stage.kind
                );
            }
            ensure!(
                stage.precision == Precision::F32 || stage.features.is_none(),
                "`precision` and `features` of stage {} do not go together: kept features are f32",
                stage.kind
            );
            ensure!(
                stage.absent_weight == 0.0 || asked.weights.absent > 0.0,
                "`absent_weight` teaches nothing: `instructions.weights.absent` is 0"
            );
            let dropout = self
                .model
                .lora
                .as_ref()
                .is_some_and(|lora| lora.dropout > 0.0);
            stage.check_dropout(dropout, 1)?;
            let scenes = stage.kind == StageKind::Instruct && stage.data.is_none();
            ensure!(
                !scenes || self.instructions.per_scene > 0,
                "`instructions.per_scene` is 0: give the questions a scene"
            );
        }
        Ok(())
    }
}

/// The names' vectors that mask prompts are drawn to.
const PROMPTS: &str = "heads.prompts.weight";

impl TrainConfig {
    /// Refuses to draw mask prompts to vectors that nothing has trained, which would only disturb the mask decoder.
    fn check_prompts(&self) -> Checked<()> {
        let parts = self.initial.iter().flat_map(|initial| &initial.parts);
        let mut known = parts.into_iter().any(|part| {
            let rest = PROMPTS.strip_prefix(part.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        for stage in &self.stages {
            ensure!(
                known || stage.prompt_weight == 0.0,
                "`prompt_weight` of stage {} draws mask prompts to vectors that nothing has trained: train heads.prompts in \
                 a sam stage before, give them in `initial`, or leave it out",
                stage.kind
            );
            let patterns = stage.trainable_patterns()?;
            known |= patterns.iter().any(|pattern| pattern.is_match(PROMPTS));
        }
        Ok(())
    }
}

/// Parts of a model that start from weights trained before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialWeights {
    /// A model folder, or a checkpoint of a run.
    pub from: PathBuf,
    /// The parts, by the fields of the model: `vision_tower`, `image_encoder`; of a checkpoint also
    /// `heads.names` and its like.
    pub parts: Vec<String>,
}

/// Data sets to learn from in the place of scenes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// What is learned from.
    pub train: Vec<WeightedSource>,
    /// What is validated on; nothing when left out.
    #[serde(default)]
    pub validation: Vec<WeightedSource>,
    /// Questions of an epoch; as many as there are items, or pictures where those count, when left out.
    #[serde(default)]
    pub epoch: Option<usize>,
    /// Questions and answers, as a file; the paper's when left out.
    #[serde(default)]
    pub templates: Option<PathBuf>,
    /// Probability that the description of a box also points at what is in it.
    #[serde(default)]
    pub describe_mask_probability: f64,
}

/// What a stage teaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// CLIP: regions against names and against reference pictures.
    Clip,
    /// SAM: masks from boxes and points, whatever the object.
    Sam,
    /// ImageBind: sounds against the names that pictures were bound to.
    Audio,
    /// AnyRef: instructions.
    Instruct,
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clip => "clip",
            Self::Sam => "sam",
            Self::Audio => "audio",
            Self::Instruct => "instruct",
        })
    }
}

/// One stage of training.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// What it teaches.
    pub kind: StageKind,
    /// Optimizer steps.
    pub steps: u64,
    /// Scenes (or sounds) a micro-batch.
    pub batch: usize,
    /// Micro-batches an optimizer step.
    #[serde(default = "one")]
    pub accumulation: u64,
    /// Whether the micro-batches of a step are computed at the same time, each on a thread.
    #[serde(default)]
    pub parallel: bool,
    /// Whether what is cheap to compute is computed again for the gradient instead of being kept: less memory, more
    /// time. Stages of instructions alone take it.
    #[serde(default)]
    pub recompute: bool,
    /// Whether of all layers of the language model but the last only the inputs are kept for the gradient, and the layers
    /// are computed again one after the other (gradient checkpointing). Stages of instructions alone take it.
    #[serde(default)]
    pub recompute_layers: bool,
    /// The type in which values and gradients are computed; weights are kept and updated in f32 whatever it is, and have
    /// copies of that type beside them. Stages of instructions alone take it, without `features`.
    #[serde(default)]
    pub precision: Precision,
    /// Where the features of frozen encoders of pictures are kept for the epochs to come; they are computed each time
    /// when left out. Stages of instructions alone take it.
    #[serde(default)]
    pub features: Option<FeatureCacheConfig>,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// How the learning rate falls.
    #[serde(default)]
    pub decay: Decay,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Largest norm of the gradient.
    pub clip_norm: f64,
    /// What AdamW adds to the root of a gradient's mean square; 1e-8 when left out.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
    /// What a step keeps of the running mean of the weights (EMA), at most: (1 + n) / (10 + n) after n steps of the stage is
    /// less at first. That mean is what is validated, kept as the model, and goes on to the next stage, while the optimizer
    /// goes on from weights of its own; there is none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Patterns of the parameter paths that are trained.
    pub trainable: Vec<String>,
    /// Patterns of the paths of matrices that Muon updates in AdamW's place, with the same learning rate and weight
    /// decay: those within transformer layers, not tables of embeddings.
    #[serde(default)]
    pub muon: Vec<String>,
    /// Learning rates of some paths, as a multiple: the first match counts.
    #[serde(default)]
    pub learning_rate_scales: Vec<(String, f64)>,
    /// Side of the grid on which masks are compared; the mask decoder's own when 0.
    #[serde(default)]
    pub mask_size: usize,
    /// Weight of the names' loss beside the stage's own: of the cells of SAM's image embedding, of CLIP's
    /// patches one by one, or beside the instructions for vision towers that go on learning.
    #[serde(default)]
    pub name_weight: f64,
    /// Weight of the distance of the language model's mask prompts from those of the names; the paper has
    /// none, its mask decoder being older than its prompts.
    #[serde(default)]
    pub prompt_weight: f64,
    /// Weight of the loss that brings the projected features of references and objects near the words that
    /// name them, for projectors as young as the language model; the paper has none.
    #[serde(default)]
    pub reference_weight: f64,
    /// Weight of the mask decoder's estimates of its own IoU, which SAM's training knows and the paper's leaves out.
    #[serde(default = "estimate_weight")]
    pub estimate_weight: f64,
    /// Weight of those estimates for things that an answer says are not there: the IoU of whatever mask is 0. The
    /// paper has none.
    #[serde(default)]
    pub absent_weight: f64,
    /// Scenes, or questions of data sets, that validation looks at.
    pub validation_scenes: usize,
    /// Data sets to learn instructions from, in the place of scenes.
    #[serde(default)]
    pub data: Option<DataConfig>,
}

impl StageConfig {
    /// Refuses to compute layers with dropout again where other threads draw numbers in between, of so many devices of
    /// this process.
    ///
    /// # Errors
    /// When the stage does, and there is `dropout`.
    pub fn check_dropout(&self, dropout: bool, devices: usize) -> Checked<()> {
        let threads = devices > 1 || (self.parallel && self.accumulation > 1);
        ensure!(
            !(self.recompute_layers && threads && dropout),
            "stage {} recomputes layers with dropout, which has to be drawn a second time without others drawing: leave \
             `recompute_layers` or `parallel` out, set `lora_dropout` to 0, or give each device a process (`--nodes`)",
            self.kind
        );
        Ok(())
    }

    /// The patterns of [`trainable`](Self::trainable).
    ///
    /// # Errors
    /// When one is no regular expression.
    pub fn trainable_patterns(&self) -> Checked<Vec<Regex>> {
        patterns(&self.trainable)
    }

    /// The patterns of [`muon`](Self::muon).
    ///
    /// # Errors
    /// When one is no regular expression.
    pub fn muon_patterns(&self) -> Checked<Vec<Regex>> {
        patterns(&self.muon)
    }

    fn check_data(&self) -> Checked<()> {
        let Some(data) = &self.data else {
            return Ok(());
        };
        ensure!(
            self.kind == StageKind::Instruct,
            "stage {} learns from scenes alone: only instruct takes `data`",
            self.kind
        );
        ensure!(
            !data.train.is_empty(),
            "`data.train` is empty: name a data set to learn from"
        );
        ensure!(
            (0.0..=1.0).contains(&data.describe_mask_probability),
            "`describe_mask_probability` must lie in 0 to 1"
        );
        for (name, weight) in [
            ("name_weight", self.name_weight),
            ("prompt_weight", self.prompt_weight),
            ("reference_weight", self.reference_weight),
            ("absent_weight", self.absent_weight),
        ] {
            ensure!(
                weight == 0.0,
                "`{name}` is for scenes, whose things have names: leave it out beside `data`"
            );
        }
        Ok(())
    }

    /// The learning rate over the steps.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            learning_rate: self.learning_rate,
            warmup: self.warmup,
            steps: self.steps,
            decay: self.decay,
        }
    }
}

fn patterns(patterns: &[String]) -> Checked<Vec<Regex>> {
    let pattern = |p: &String| Regex::new(p).with_context(|| format!("bad pattern {p:?}"));
    patterns.iter().map(pattern).collect()
}

fn preset_or_config<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AnyRefConfig, D::Error> {
    use serde::de::Error;
    let mut given = Value::deserialize(deserializer)?;
    let preset = match &mut given {
        Value::String(name) => Some(std::mem::take(name)),
        Value::Object(fields) => match fields.remove("preset") {
            Some(Value::String(name)) => Some(name),
            Some(other) => {
                return Err(D::Error::custom(format!("`preset` is {other}, not a name")));
            }
            None => None,
        },
        _ => None,
    };
    let Some(name) = preset else {
        return serde_json::from_value(given).map_err(D::Error::custom);
    };
    let preset = AnyRefConfig::preset(&name).ok_or_else(|| {
        D::Error::custom(format!(
            "there is no preset {name:?}, only nano, anyref-7b and tiny"
        ))
    })?;
    let Value::Object(fields) = &given else {
        return Ok(preset);
    };
    let mut config = serde_json::to_value(preset).map_err(D::Error::custom)?;
    if let Some(unknown) = fields.keys().find(|field| config.get(*field).is_none()) {
        return Err(D::Error::custom(format!("a model has no {unknown:?}")));
    }
    overlay(&mut config, given);
    serde_json::from_value(config).map_err(D::Error::custom)
}

/// Puts values in the place of others, field by field.
fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (field, value) in over {
                overlay(under.entry(field).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

fn one() -> u64 {
    1
}

fn estimate_weight() -> f64 {
    0.05
}

fn epsilon() -> f32 {
    1e-8
}
