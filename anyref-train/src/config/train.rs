//! Configuration of a run: its model, its scenes and its stages.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use anyref_core::AnyRefConfig;
use anyref_core::quantization::BlockType;
use anyref_data::scenes::{InstructionConfig, SceneConfig};
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::preset::preset_or_config;
use super::stage::StageConfig;

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
    pub fn check(&self) -> Result<()> {
        self.model.validate()?;
        ensure!(
            self.model.makes_masks(),
            "the model makes no masks, which every stage trains: give `image_encoder`, \
             `prompt_encoder` and `mask_decoder`"
        );
        ensure!(
            self.model.vision_tower.clip().is_some() && self.model.sam().is_some(),
            "the model reads tiles or makes masks by SAM 2, as Sa2VA does, which no stage trains: \
             give a `vision_tower` of CLIP, and `image_encoder` and `mask_decoder` of SAM"
        );
        ensure!(
            self.start.is_some() || self.vocabulary > 0,
            "`vocabulary` is 0: give the tokenizer's entries, or a model to `start` from"
        );
        ensure!(
            !self.stages.is_empty(),
            "the configuration trains nothing: it has no `stages`"
        );
        self.check_instructions()?;
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
        self.check_quantize()?;
        let lora = self.model.lora.as_ref();
        let dropout = lora.is_some_and(|lora| lora.dropout > 0.0);
        for stage in &self.stages {
            stage.check(&self.instructions, dropout)?;
        }
        Ok(())
    }

    /// Half-precision type of all stages, if they share one. Frozen weights need not be held in any
    /// other.
    pub(crate) fn common_half(&self) -> Option<DType> {
        let mut halves = self.stages.iter().map(|stage| stage.precision.half());
        let first = halves.next()??;
        halves.all(|half| half == Some(first)).then_some(first)
    }

    fn check_instructions(&self) -> Result<()> {
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
        Ok(())
    }

    /// Refuses a language model that is rounded as it is read, and then read again in part.
    fn check_quantize(&self) -> Result<()> {
        let mut parts = self.initial.iter().flat_map(|initial| &initial.parts);
        let again = parts.find(|part| *part == "llm" || part.starts_with("llm."));
        if let (Some(part), Some(_), Some(_)) = (again, &self.quantize, &self.start) {
            bail!(
                "`quantize` rounds the language model of `start` as it is read, and `initial` brings {part:?}: leave one of \
                 them out"
            );
        }
        Ok(())
    }

    /// Refuses to draw mask prompts towards untrained vectors, which would only disturb the mask
    /// decoder.
    fn check_prompts(&self) -> Result<()> {
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
