//! Configuration of a stage: its task, its optimizer and its data.

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

/// Data sets of a stage, instead of scenes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Data sets for training.
    pub train: Vec<WeightedSource>,
    /// Data sets for validation; none by default.
    #[serde(default)]
    pub validation: Vec<WeightedSource>,
    /// Questions of an epoch; by default the number of items, or of pictures when pictures are
    /// counted.
    #[serde(default)]
    pub epoch: Option<usize>,
    /// Path of a file of question and answer templates; by default the paper's.
    #[serde(default)]
    pub templates: Option<PathBuf>,
    /// Probability that the description of a box is followed by a mask of its content.
    #[serde(default)]
    pub describe_mask_probability: f64,
}

/// Data type of values and gradients in a step.
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
    /// Half-precision type; `None` for f32.
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
    /// Whether the micro-batches of a step are computed in parallel, each on a thread.
    #[serde(default)]
    pub parallel: bool,
    /// Whether activations, norms and elementwise operations are recomputed in the backward pass:
    /// less memory, more time. Only for stages of instructions.
    #[serde(default)]
    pub recompute: bool,
    /// Whether only the inputs of the language model's layers but the last are kept for the
    /// backward pass, which recomputes the layers one after the other (gradient checkpointing).
    /// Only for stages of instructions.
    #[serde(default)]
    pub recompute_layers: bool,
    /// Data type of values and gradients; master weights are kept and updated in f32, beside copies
    /// in this type. Only for stages of instructions, without `features`.
    #[serde(default)]
    pub precision: Precision,
    /// Cache of the features of frozen picture encoders; by default they are computed each time.
    /// Only for stages of instructions.
    #[serde(default)]
    pub features: Option<FeatureCacheConfig>,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Decay of the learning rate.
    #[serde(default)]
    pub decay: Decay,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Largest norm of the gradient; larger gradients are scaled down.
    pub clip_norm: f64,
    /// AdamW's epsilon, added to the root of a gradient's mean square; 1e-8 by default.
    #[serde(default = "epsilon")]
    pub epsilon: f32,
    /// Highest decay of the exponential moving average (EMA) of the weights: after n steps of the
    /// stage it is at most (1 + n) / (10 + n). The EMA is validated, saved as the model and handed
    /// to the next stage, while the optimizer continues from its own weights. By default there is
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Patterns (regular expressions) for the paths of trained parameters.
    pub trainable: Vec<String>,
    /// Patterns for the paths of matrices that Muon updates instead of AdamW, with the same
    /// learning rate and weight decay: matrices within transformer layers, not embedding tables.
    #[serde(default)]
    pub muon: Vec<String>,
    /// Factors on the learning rate by path pattern; the first match counts.
    #[serde(default)]
    pub learning_rate_scales: Vec<(String, f64)>,
    /// Side of the grid on which masks are compared; 0 takes the mask decoder's own.
    #[serde(default)]
    pub mask_size: usize,
    /// Weight of the loss on names beside the stage's own: of the cells of SAM's image embedding,
    /// of single CLIP patches, or beside the instructions for vision towers that are still trained.
    #[serde(default)]
    pub name_weight: f64,
    /// Weight of the distance of the language model's mask prompts from the names' prompts; the
    /// paper has none, because its mask decoder is trained before its prompts.
    #[serde(default)]
    pub prompt_weight: f64,
    /// Weight of the loss that aligns the projected features of references and objects with the
    /// words that name them, for projectors trained from scratch together with the language model;
    /// the paper has none.
    #[serde(default)]
    pub reference_weight: f64,
    /// Weight of the loss on the mask decoder's IoU estimates, which SAM's training has and the
    /// paper's leaves out.
    #[serde(default = "estimate_weight")]
    pub estimate_weight: f64,
    /// Weight of the loss on the IoU estimates for objects that an answer says are absent: the IoU
    /// of any mask is 0. The paper has none.
    #[serde(default)]
    pub absent_weight: f64,
    /// Number of scenes, or of questions of data sets, in a validation.
    pub validation_scenes: usize,
    /// Data sets of instructions, instead of scenes.
    #[serde(default)]
    pub data: Option<DataConfig>,
}

impl StageConfig {
    /// Refuses a stage that would fail later or train nothing. `instructions` are the questions
    /// about scenes; `dropout` is whether the model's adapters have dropout.
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

    /// Refuses to recompute layers with `dropout` if other threads, of parallel micro-batches or of
    /// `devices` in this process, draw random numbers in between.
    ///
    /// # Errors
    /// When the stage recomputes layers in that case.
    pub(crate) fn check_dropout(&self, dropout: bool, devices: usize) -> Result<(), ConfigError> {
        let threads = devices > 1 || (self.parallel && self.accumulation > 1);
        ensure(
            !(self.recompute_layers && threads && dropout),
            ConfigError::RecomputedDropout { stage: self.kind },
        )
    }

    /// Patterns of [`trainable`](Self::trainable).
    ///
    /// # Errors
    /// When one is no regular expression.
    pub(crate) fn trainable_patterns(&self) -> Result<Vec<Regex>, ConfigError> {
        patterns(&self.trainable)
    }

    /// Patterns of [`muon`](Self::muon).
    ///
    /// # Errors
    /// When one is no regular expression.
    pub(crate) fn muon_patterns(&self) -> Result<Vec<Regex>, ConfigError> {
        patterns(&self.muon)
    }

    /// Error for a pattern of [`trainable`](Self::trainable), by index, that matches no parameter.
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

    /// Learning rate over the steps.
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
