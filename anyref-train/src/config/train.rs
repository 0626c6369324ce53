//! Configuration of a run: its model, its scenes and its stages.

use std::path::PathBuf;

use anyref_core::quantization::BlockType;
use anyref_core::{AnyRefConfig, ObjectState, RegionForm};
use anyref_data::scenes::{InstructionConfig, SceneConfig};
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::error::{ConfigError, ensure};
use super::preset::preset_or_config;
use super::stage::StageConfig;
use super::stage_kind::StageKind;

/// Path of the names' prompts, towards which `prompt_weight` draws mask prompts.
const PROMPTS: &str = "heads.prompts.weight";

/// Configuration of a training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Name of the run; its folder is `runs/NAME` by default.
    pub name: String,
    /// Seed of weights and data.
    pub seed: u64,
    /// Model: the name of a preset, a preset with changes, as in
    /// `{"preset": "anyref-7b", "lora": {"r": 16}}`, or a full configuration.
    #[serde(deserialize_with = "preset_or_config")]
    pub model: AnyRefConfig,
    /// Model folder with the configuration, tokenizer and weights that the run starts from, such as
    /// one written by `anyref assemble`. Only the adapters of [`model`](Self::model) are then used;
    /// they are initialised if the folder has none.
    #[serde(default)]
    pub start: Option<PathBuf>,
    /// Most tiles of a picture, for models that read pictures in tiles, as Sa2VA; those of the
    /// model when left out. The trained model keeps the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<usize>,
    /// Vocabulary size of the tokenizer trained for this model, if none comes with `start`.
    #[serde(default)]
    pub vocabulary: usize,
    /// Scenes of the stages that name no data sets.
    #[serde(default)]
    pub scenes: SceneConfig,
    /// Questions about the scenes.
    #[serde(default)]
    pub instructions: InstructionConfig,
    /// Whether procedural shapes are used instead of the stamps, which need a download.
    #[serde(default)]
    pub shapes: bool,
    /// Parts initialised from trained weights, before the first stage.
    #[serde(default)]
    pub initial: Vec<InitialWeights>,
    /// Format of blocks in which the projections of the language model are kept below adapters that
    /// are trained: `"q8_0"`, `"q4_0"` or `"q4_k"`. They stay floats when left out.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "super::block_format"
    )]
    pub quantize: Option<BlockType>,
    /// Stages in order.
    pub stages: Vec<StageConfig>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between validations.
    pub validate_every: u64,
    /// Number of checkpoints kept.
    pub keep_checkpoints: usize,
}

impl TrainConfig {
    /// Returns whether a stage is trained on scenes, or the tokenizer is.
    pub fn needs_scenes(&self) -> bool {
        self.start.is_none() || self.stages.iter().any(|stage| stage.data.is_none())
    }

    /// Checks everything that would otherwise fail later, or train nothing.
    ///
    /// # Errors
    /// When a number that must be positive is 0, or the parts of the model do not fit together.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.model.validate()?;
        if self.start.is_none() {
            ensure(
                self.model.vision_tower.clip().is_some(),
                ConfigError::NoStartOfTiles,
            )?;
            self.check_model(&self.model)?;
        }
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
        self.check_quantize()?;
        let lora = self.model.lora.as_ref();
        let dropout = lora.is_some_and(|lora| lora.dropout > 0.0);
        for stage in &self.stages {
            stage.check(&self.instructions, dropout)?;
        }
        Ok(())
    }

    /// Checks that every stage can train a model, that of [`start`](Self::start) where there is
    /// one.
    ///
    /// # Errors
    /// When a stage or one of its losses is not for such models.
    pub(crate) fn check_model(&self, model: &AnyRefConfig) -> Result<(), ConfigError> {
        ensure(model.makes_masks(), ConfigError::NoMasks)?;
        ensure(
            model.prompts.regions != RegionForm::Bbox,
            ConfigError::RegionForm,
        )?;
        let clip_and_sam = model.vision_tower.clip().is_some() && model.sam().is_some();
        let own = model.object_state == ObjectState::Own;
        for config in &self.stages {
            let stage = config.kind;
            ensure(
                clip_and_sam || stage == StageKind::Instruct,
                ConfigError::ClipAndSamAlone { stage },
            )?;
            for (name, weight) in [
                ("name_weight", config.name_weight),
                ("prompt_weight", config.prompt_weight),
                ("reference_weight", config.reference_weight),
            ] {
                ensure(
                    clip_and_sam || weight == 0.0,
                    ConfigError::WeightOfClipAndSam { name, stage },
                )?;
            }
            ensure(
                !own || config.absent_weight == 0.0,
                ConfigError::AbsentOfOwnState { stage },
            )?;
        }
        Ok(())
    }

    /// Model that is trained: that of [`start`](Self::start), of which only the adapters come from
    /// the configuration, with as many tiles as it asks for.
    ///
    /// # Errors
    /// As [`check_model`](Self::check_model), and when the model has no tiles to count.
    pub(crate) fn model_from(&self, mut model: AnyRefConfig) -> Result<AnyRefConfig, ConfigError> {
        model.lora = self.model.lora.clone().or(model.lora);
        if let Some(tiles) = self.tiles {
            model
                .set_max_tiles(tiles)
                .map_err(|_| ConfigError::NoTiles)?;
            model.validate()?;
        }
        self.check_model(&model)?;
        Ok(model)
    }

    /// Half-precision type of all stages, if they share one. Frozen weights need not be held in any
    /// other.
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

    /// Refuses a language model that is rounded as it is read, and then read again in part.
    fn check_quantize(&self) -> Result<(), ConfigError> {
        let mut parts = self.initial.iter().flat_map(|initial| &initial.parts);
        let again = parts.find(|part| *part == "llm" || part.starts_with("llm."));
        match (again, &self.quantize, &self.start) {
            (Some(part), Some(_), Some(_)) => {
                Err(ConfigError::RoundedAndReplaced { part: part.clone() })
            }
            _ => Ok(()),
        }
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

/// Parts of a model that are initialised from trained weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialWeights {
    /// Path of the model folder, or of the checkpoint of a run.
    pub from: PathBuf,
    /// Parts by the fields of the model, such as `vision_tower` or `image_encoder`; of a checkpoint
    /// also `heads.names` and other heads.
    pub parts: Vec<String>,
}
