//! A stage: its task, its optimizer and its data.

use std::path::PathBuf;

use anyref_data::datasets::WeightedSource;
use anyref_data::scenes::InstructionConfig;
use burn::tensor::DType;
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::error::{ConfigError, ensure};
use super::schedule::{Decay, Schedule};
use super::stage_kind::StageKind;
use crate::feature_cache::FeatureCacheConfig;

/// Data sets in the place of scenes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Data sets to learn from.
    pub train: Vec<WeightedSource>,
    /// Data sets to validate on; none when left out.
    #[serde(default)]
    pub validation: Vec<WeightedSource>,
    /// Questions of an epoch; as many as there are items, or pictures where those count, when left
    /// out.
    #[serde(default)]
    pub epoch: Option<usize>,
    /// Questions and answers, as a file; the paper's when left out.
    #[serde(default)]
    pub templates: Option<PathBuf>,
    /// Probability that the description of a box also points at what is in it.
    #[serde(default)]
    pub describe_mask_probability: f64,
}

/// Type in which values and gradients of a step are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits throughout.
    #[default]
    F32,
    /// 16 bits with the range of f32.
    Bf16,
    /// 16 bits with a small range, so that losses are scaled.
    F16,
}

impl Precision {
    /// Half-precision type, unless all is computed in f32.
    pub fn half(self) -> Option<DType> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(DType::BF16),
            Self::F16 => Some(DType::F16),
        }
    }
}

/// One stage of training.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Task.
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
    /// Whether activations, norms and elementwise operations are recomputed for the gradient: less
    /// memory, more time. Stages of instructions alone take it.
    #[serde(default)]
    pub recompute: bool,
    /// Whether only the inputs of the language model's layers but the last are kept for the
    /// gradient, for which the layers are recomputed one after the other (gradient checkpointing).
    /// Stages of instructions alone take it.
    #[serde(default)]
    pub recompute_layers: bool,
    /// Type in which values and gradients are computed; weights are kept and updated in f32
    /// whatever it is, with copies of that type beside them. Stages of instructions alone take it,
    /// without `features`.
    #[serde(default)]
    pub precision: Precision,
    /// Cache of the features of frozen encoders of pictures; they are computed each time when left
    /// out. Stages of instructions alone take it.
    #[serde(default)]
    pub features: Option<FeatureCacheConfig>,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Fall of the learning rate.
    #[serde(default)]
    pub decay: Decay,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Largest norm of the gradient.
    pub clip_norm: f64,
    /// AdamW's epsilon, added to the root of a gradient's mean square; 1e-8 when left out.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
    /// Highest decay of the exponential moving average (EMA) of the weights: after n steps of the
    /// stage it is at most (1 + n) / (10 + n). The average is validated, kept as the model and
    /// handed to the next stage, while the optimizer goes on from weights of its own; there is none
    /// when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Patterns of the parameter paths that are trained.
    pub trainable: Vec<String>,
    /// Patterns of the paths of matrices that Muon updates in AdamW's place, with the same learning
    /// rate and weight decay: those within transformer layers, not tables of embeddings.
    #[serde(default)]
    pub muon: Vec<String>,
    /// Learning rates of some paths, as a multiple: the first match counts.
    #[serde(default)]
    pub learning_rate_scales: Vec<(String, f64)>,
    /// Side of the grid on which masks are compared; the mask decoder's own when 0.
    #[serde(default)]
    pub mask_size: usize,
    /// Weight of the names' loss beside the stage's own: of the cells of SAM's image embedding, of
    /// CLIP's patches one by one, or beside the instructions for vision towers that go on learning.
    #[serde(default)]
    pub name_weight: f64,
    /// Weight of the distance of the language model's mask prompts from those of the names; the
    /// paper has none, its mask decoder being older than its prompts.
    #[serde(default)]
    pub prompt_weight: f64,
    /// Weight of the loss that brings the projected features of references and objects near the
    /// words that name them, for projectors as young as the language model; the paper has none.
    #[serde(default)]
    pub reference_weight: f64,
    /// Weight of the mask decoder's estimates of its own IoU, which SAM's training knows and the
    /// paper's leaves out.
    #[serde(default = "estimate_weight")]
    pub estimate_weight: f64,
    /// Weight of the same estimates for things that an answer says are not there: the IoU of
    /// whatever mask is 0. The paper has none.
    #[serde(default)]
    pub absent_weight: f64,
    /// Scenes, or questions of data sets, that validation looks at.
    pub validation_scenes: usize,
    /// Data sets of instructions, in the place of scenes.
    #[serde(default)]
    pub data: Option<DataConfig>,
}

impl StageConfig {
    /// Refuses a stage that could only fail later, or teach nothing, with these questions about
    /// scenes and with or without dropout in the model's adapters.
    pub(super) fn check(
        &self,
        instructions: &InstructionConfig,
        dropout: bool,
    ) -> Result<(), ConfigError> {
        let stage = self.kind;
        for (name, value) in [
            ("steps", self.steps),
            ("batch", self.batch as u64),
            ("accumulation", self.accumulation),
            ("validation_scenes", self.validation_scenes as u64),
        ] {
            ensure(value > 0, ConfigError::Zero { name, stage })?;
        }
        for (name, weight) in [
            ("name_weight", self.name_weight),
            ("prompt_weight", self.prompt_weight),
            ("reference_weight", self.reference_weight),
            ("estimate_weight", self.estimate_weight),
            ("absent_weight", self.absent_weight),
        ] {
            let fits = weight.is_finite() && weight >= 0.0;
            ensure(fits, ConfigError::LossWeight { name, stage })?;
        }
        let decays = |decay| (0.0..1.0).contains(&decay);
        ensure(
            self.ema_decay.is_none_or(decays),
            ConfigError::EmaDecay { stage },
        )?;
        self.check_data()?;
        for (name, given) in [
            ("recompute", self.recompute),
            ("recompute_layers", self.recompute_layers),
            ("features", self.features.is_some()),
            ("precision", self.precision != Precision::F32),
            ("absent_weight", self.absent_weight > 0.0),
        ] {
            ensure(
                !given || stage == StageKind::Instruct,
                ConfigError::InstructAlone { stage, name },
            )?;
        }
        ensure(
            self.precision == Precision::F32 || self.features.is_none(),
            ConfigError::HalfFeatures { stage },
        )?;
        ensure(
            self.absent_weight == 0.0 || instructions.weights.absent > 0.0,
            ConfigError::NothingAbsent,
        )?;
        self.check_dropout(dropout, 1)?;
        let scenes = self.kind == StageKind::Instruct && self.data.is_none();
        ensure(
            !scenes || instructions.per_scene > 0,
            ConfigError::NoQuestions,
        )
    }

    /// Refuses to recompute layers with `dropout` where other threads draw numbers in between, with
    /// so many `devices` in this process.
    ///
    /// # Errors
    /// When the stage does, and there is `dropout`.
    pub(crate) fn check_dropout(&self, dropout: bool, devices: usize) -> Result<(), ConfigError> {
        let threads = devices > 1 || (self.parallel && self.accumulation > 1);
        ensure(
            !(self.recompute_layers && threads && dropout),
            ConfigError::RecomputedDropout { stage: self.kind },
        )
    }

    /// The patterns of [`trainable`](Self::trainable).
    ///
    /// # Errors
    /// When one is no regular expression.
    pub(crate) fn trainable_patterns(&self) -> Result<Vec<Regex>, ConfigError> {
        patterns(&self.trainable)
    }

    /// The patterns of [`muon`](Self::muon).
    ///
    /// # Errors
    /// When one is no regular expression.
    pub(crate) fn muon_patterns(&self) -> Result<Vec<Regex>, ConfigError> {
        patterns(&self.muon)
    }

    /// The error of a pattern of [`trainable`](Self::trainable), by index, that matches no
    /// parameter.
    pub(crate) fn idle_pattern(&self, pattern: usize) -> ConfigError {
        ConfigError::IdlePattern {
            stage: self.kind,
            pattern: self.trainable[pattern].clone(),
        }
    }

    fn check_data(&self) -> Result<(), ConfigError> {
        let Some(data) = &self.data else {
            return Ok(());
        };
        ensure(
            self.kind == StageKind::Instruct,
            ConfigError::ScenesAlone { stage: self.kind },
        )?;
        ensure(!data.train.is_empty(), ConfigError::NoTrainingData)?;
        ensure(
            (0.0..=1.0).contains(&data.describe_mask_probability),
            ConfigError::DescribeMask,
        )?;
        for (name, weight) in [
            ("name_weight", self.name_weight),
            ("prompt_weight", self.prompt_weight),
            ("reference_weight", self.reference_weight),
            ("absent_weight", self.absent_weight),
        ] {
            ensure(weight == 0.0, ConfigError::WeightForScenes { name })?;
        }
        Ok(())
    }

    /// The learning rate over the steps.
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            learning_rate: self.learning_rate,
            warmup: self.warmup,
            steps: self.steps,
            decay: self.decay,
        }
    }
}

fn patterns(patterns: &[String]) -> Result<Vec<Regex>, ConfigError> {
    let compiled = |pattern: &String| {
        Regex::new(pattern).map_err(|source| ConfigError::Pattern {
            pattern: pattern.clone(),
            source,
        })
    };
    patterns.iter().map(compiled).collect()
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
