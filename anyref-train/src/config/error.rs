//! Configurations that could only fail later, or teach nothing.

use anyref_core::quantization::BlockType;

use super::stage_kind::StageKind;

/// Fault of a training configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The parts of the model do not fit one another.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// The model has no SAM.
    #[error(
        "the model makes no masks, which every stage trains: give `image_encoder`, `prompt_encoder` and `mask_decoder`"
    )]
    NoMasks,
    /// A stage other than instruct has a model whose tower is not CLIP or whose mask decoder is not
    /// SAM's.
    #[error(
        "stage {stage} is of CLIP and SAM, and the model reads tiles or makes masks by SAM 2, as Sa2VA does: train it by stages of kind instruct"
    )]
    ClipAndSamAlone {
        /// The stage.
        stage: StageKind,
    },
    /// A loss needs a model of CLIP and SAM.
    #[error(
        "`{name}` of stage {stage} is for models of CLIP and SAM, and the model reads tiles or makes masks by SAM 2, as Sa2VA does: leave it out"
    )]
    WeightOfClipAndSam {
        /// The field.
        name: &'static str,
        /// The stage.
        stage: StageKind,
    },
    /// A loss needs the state before `<obj>`, which this model's mask decoder is not prompted with.
    #[error(
        "`absent_weight` of stage {stage} is for models whose masks come from the state before `<obj>`, and the model's come from its own: leave it out"
    )]
    AbsentOfOwnState {
        /// The stage.
        stage: StageKind,
    },
    /// A model whose tokens are not AnyRef's is to begin with random weights.
    #[error(
        "the model reads tiles, as Sa2VA does, and its tokenizer comes with its folder: give that as `start`"
    )]
    NoStartOfTiles,
    /// Regions are read in a form that no stage trains.
    #[error(
        "the model reads regions in place of `<bbox>`, as GLaMM does, which no stage trains: start from another model"
    )]
    RegionForm,
    /// `tiles` is given for a model that reads no tiles.
    #[error("`tiles` is for models that read pictures in tiles, as Sa2VA does: leave it out")]
    NoTiles,
    /// A tokenizer without entries would be trained.
    #[error("`vocabulary` is 0: give the tokenizer's entries, or a model to `start` from")]
    NoVocabulary,
    /// There is no stage.
    #[error("the configuration trains nothing: it has no `stages`")]
    NoStages,
    /// An interval in steps is 0.
    #[error("`{name}` is 0: give the steps between two of them")]
    NoInterval {
        /// The field.
        name: &'static str,
    },
    /// The jitter of boxes is negative or NaN.
    #[error("`instructions.box_jitter` must be 0 or more")]
    BoxJitter,
    /// A probability is outside of 0 to 1.
    #[error("`instructions.{name}` must lie in 0 to 1")]
    Probability {
        /// The field.
        name: &'static str,
    },
    /// Questions about made-up things are asked for, and no scene has any.
    #[error(
        "`instructions.made_up_probability` asks for things without a name, and `scenes.made_up` is 0: no scene has any"
    )]
    NothingMadeUp,
    /// Mask prompts would be drawn to untrained vectors.
    #[error(
        "`prompt_weight` of stage {stage} draws mask prompts to vectors that nothing has trained: train heads.prompts in \
         a sam stage before, give them in `initial`, or leave it out"
    )]
    UntrainedPrompts {
        /// The stage.
        stage: StageKind,
    },
    /// The language model is rounded as it is read, and then read again in part.
    #[error(
        "`quantize` rounds the language model of `start` as it is read, and `initial` brings {part:?}: leave one of them out"
    )]
    RoundedAndReplaced {
        /// Part of the language model in `initial`.
        part: String,
    },
    /// Blocks of a format are longer than the rows of any projection.
    #[error(
        "`quantize`: no projection of the language model has rows of whole blocks of {block_type}: leave it out"
    )]
    NoWholeBlocks {
        /// Format of the blocks.
        block_type: BlockType,
    },
    /// A stage trains a weight that is kept in blocks.
    #[error(
        "stage {stage} trains {name}, which `quantize` keeps in blocks of {block_type}: leave `quantize` out, or train \
         adapters alone (`model.lora`, and \"\\\\.lora_[ab]\\\\.\" in `trainable`)"
    )]
    TrainedInBlocks {
        /// The stage.
        stage: StageKind,
        /// The weight.
        name: String,
        /// Format of the blocks.
        block_type: BlockType,
    },
    /// A number of a stage is 0.
    #[error("`{name}` of stage {stage} is 0")]
    Zero {
        /// The field.
        name: &'static str,
        /// The stage.
        stage: StageKind,
    },
    /// The weight of a loss is negative or NaN.
    #[error("`{name}` of stage {stage} is no weight of a loss: give 0 or more")]
    LossWeight {
        /// The field.
        name: &'static str,
        /// The stage.
        stage: StageKind,
    },
    /// The decay of an EMA is not in 0 to 1, 1 excluded.
    #[error("`ema_decay` of stage {stage} must lie in 0 to 1 and be less than 1")]
    EmaDecay {
        /// The stage.
        stage: StageKind,
    },
    /// A field is given that only instruct stages take.
    #[error("stage {stage} takes no `{name}`: only instruct does")]
    InstructAlone {
        /// The stage.
        stage: StageKind,
        /// The field.
        name: &'static str,
    },
    /// Features are cached in a stage of half precision.
    #[error(
        "`precision` and `features` of stage {stage} do not go together: kept features are f32"
    )]
    HalfFeatures {
        /// The stage.
        stage: StageKind,
    },
    /// A loss needs questions about absent things, and none are asked.
    #[error("`absent_weight` teaches nothing: `instructions.weights.absent` is 0")]
    NothingAbsent,
    /// Scenes have no questions.
    #[error("`instructions.per_scene` is 0: give the questions a scene")]
    NoQuestions,
    /// Layers with dropout would be recomputed while other threads draw numbers.
    #[error(
        "stage {stage} recomputes layers with dropout, which has to be drawn a second time without others drawing: leave \
         `recompute_layers` or `parallel` out, set `lora_dropout` to 0, or give each device a process (`--nodes`)"
    )]
    RecomputedDropout {
        /// The stage.
        stage: StageKind,
    },
    /// A pattern is not a regular expression.
    #[error("bad pattern {pattern:?}: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The fault in it.
        source: regex::Error,
    },
    /// A pattern of `trainable` matches no parameter.
    #[error(
        "stage {stage} trains nothing by {pattern:?}: this pattern of `trainable` matches no parameter"
    )]
    IdlePattern {
        /// The stage.
        stage: StageKind,
        /// The pattern.
        pattern: String,
    },
    /// A stage that learns from scenes alone names data sets.
    #[error("stage {stage} learns from scenes alone: only instruct takes `data`")]
    ScenesAlone {
        /// The stage.
        stage: StageKind,
    },
    /// There is no data set to learn from.
    #[error("`data.train` is empty: name a data set to learn from")]
    NoTrainingData,
    /// The probability of a mask after a description is outside of 0 to 1.
    #[error("`describe_mask_probability` must lie in 0 to 1")]
    DescribeMask,
    /// A loss that needs scenes is given in a stage of data sets.
    #[error("`{name}` is for scenes, whose things have names: leave it out beside `data`")]
    WeightForScenes {
        /// The field.
        name: &'static str,
    },
}

/// Refuses a configuration of which something does not hold.
pub(super) fn ensure(holds: bool, otherwise: ConfigError) -> Result<(), ConfigError> {
    match holds {
        true => Ok(()),
        false => Err(otherwise),
    }
}
