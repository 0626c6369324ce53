//! A run: its model, its scenes and its stages.

use std::path::PathBuf;

use anyref_core::AnyRefConfig;
use anyref_data::scenes::{InstructionConfig, SceneConfig};
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::error::{ConfigError, ensure};
use super::preset::preset_or_config;
use super::stage::StageConfig;

/// Vectors of the names, towards which `prompt_weight` draws mask prompts.
const PROMPTS: &str = "heads.prompts.weight";

/// Configuration of a training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Name of the run; its folder is `runs/NAME` unless told otherwise.
    pub name: String,
    /// Seed of weights and data.
    pub seed: u64,
    /// Model: the name of a preset, a preset with changes, as in
    /// `{"preset": "anyref-7b", "lora": {"r": 16}}`, or a full configuration.
    #[serde(deserialize_with = "preset_or_config")]
    pub model: AnyRefConfig,
    /// Model folder with the configuration, tokenizer and weights that the run starts from, such as
    /// `anyref assemble` writes. Of [`model`](Self::model) only the adapters count then, which
    /// start afresh where the folder has none.
    #[serde(default)]
    pub start: Option<PathBuf>,
    /// Entries of the tokenizer trained for this model, where none comes with `start`.
    #[serde(default)]
    pub vocabulary: usize,
    /// Scenes of the stages that name no data sets.
    #[serde(default)]
    pub scenes: SceneConfig,
    /// Questions asked about the scenes.
    #[serde(default)]
    pub instructions: InstructionConfig,
    /// Use the procedural shapes instead of the stamps, which need a download.
    #[serde(default)]
    pub shapes: bool,
    /// Parts that start from trained weights, before the first stage.
    #[serde(default)]
    pub initial: Vec<InitialWeights>,
    /// Stages, in order.
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

    /// Refuses a configuration that could only fail later, or teach nothing.
    ///
    /// # Errors
    /// When a number that must be positive is 0, or the parts of the model do not fit together.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.model.validate()?;
        ensure(self.model.makes_masks(), ConfigError::NoMasks)?;
        ensure(
            self.start.is_some() || self.vocabulary > 0,
            ConfigError::NoVocabulary,
        )?;
        ensure(!self.stages.is_empty(), ConfigError::NoStages)?;
        self.check_instructions()?;
        for (name, value) in [
            ("checkpoint_every", self.checkpoint_every),
            ("validate_every", self.validate_every),
        ] {
            ensure(value > 0, ConfigError::NoInterval { name })?;
        }
        self.check_prompts()?;
        let lora = self.model.lora.as_ref();
        let dropout = lora.is_some_and(|lora| lora.dropout > 0.0);
        for stage in &self.stages {
            stage.check(&self.instructions, dropout)?;
        }
        Ok(())
    }

    /// Half-precision type of every stage, where all of them compute in one and the same. Weights
    /// that no stage trains need not be held in another.
    pub(crate) fn common_half(&self) -> Option<DType> {
        let mut halves = self.stages.iter().map(|stage| stage.precision.half());
        let first = halves.next()??;
        halves.all(|half| half == Some(first)).then_some(first)
    }

    fn check_instructions(&self) -> Result<(), ConfigError> {
        let asked = &self.instructions;
        ensure(
            asked.box_jitter.is_finite() && asked.box_jitter >= 0.0,
            ConfigError::BoxJitter,
        )?;
        for (name, value) in [
            ("mask_crop_probability", asked.mask_crop_probability),
            ("describe_mask_probability", asked.describe_mask_probability),
            ("misnaming_probability", asked.misnaming_probability),
            ("twin_probability", asked.twin_probability),
            ("placed_probability", asked.placed_probability),
            ("made_up_probability", asked.made_up_probability),
            ("size_probability", asked.size_probability),
        ] {
            let fits = (0.0..=1.0).contains(&value);
            ensure(fits, ConfigError::Probability { name })?;
        }
        ensure(
            asked.made_up_probability == 0.0 || self.scenes.made_up > 0.0,
            ConfigError::NothingMadeUp,
        )
    }

    /// Refuses to draw mask prompts towards untrained vectors, which would only disturb the mask
    /// decoder.
    fn check_prompts(&self) -> Result<(), ConfigError> {
        let parts = self.initial.iter().flat_map(|initial| &initial.parts);
        let mut known = parts.into_iter().any(|part| {
            let rest = PROMPTS.strip_prefix(part.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        for stage in &self.stages {
            ensure(
                known || stage.prompt_weight == 0.0,
                ConfigError::UntrainedPrompts { stage: stage.kind },
            )?;
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
    /// Model folder, or checkpoint of a run.
    pub from: PathBuf,
    /// Parts, by the fields of the model: `vision_tower`, `image_encoder`; of a checkpoint also
    /// `heads.names` and its like.
    pub parts: Vec<String>,
}
