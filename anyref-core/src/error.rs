//! Errors between a picture and its masks.

use std::path::{Path, PathBuf};

use anyref_ops::DeviceFailure;
use burn::tensor::backend::ExecutionError;

use crate::backend::BackendError;
use crate::memory_estimate::MemoryShortage;
use crate::reference_kind::ReferenceKind;

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Errors of the composed model, one line each, naming what to change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A picture could not be read.
    #[error(transparent)]
    Vision(#[from] anyref_vision::Error),
    /// A sound could not be read.
    #[error(transparent)]
    Audio(#[from] anyref_audio::Error),
    /// The tokenizer failed.
    #[error(transparent)]
    Llm(anyref_llm::Error),
    /// A mask could not be decoded.
    #[error(transparent)]
    Decoder(#[from] anyref_decoder::Error),
    /// Weights could not be read or written.
    #[error(transparent)]
    Weights(#[from] anyref_weights::Error),
    /// A box is not inside its picture or not a box.
    #[error(
        "box {x0},{y0},{x1},{y1} does not fit the {width}x{height} picture: use 0 <= x0 < x1 <= {width}, 0 <= y0 < y1 <= {height}, in pixels"
    )]
    Box {
        /// Left.
        x0: f32,
        /// Top.
        y0: f32,
        /// Right.
        x1: f32,
        /// Bottom.
        y1: f32,
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
    },
    /// A point is not inside its picture.
    #[error(
        "point {x},{y} lies outside the {width}x{height} picture: use 0 <= x < {width}, 0 <= y < {height}, in pixels"
    )]
    Point {
        /// Pixels from the left.
        x: f32,
        /// Pixels from the top.
        y: f32,
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
    },
    /// A point is both on and off the object.
    #[error("point {x},{y} is given as on the object and as off it: give it once")]
    ContradictoryPoint {
        /// Pixels from the left.
        x: f32,
        /// Pixels from the top.
        y: f32,
    },
    /// A prompt for a mask has neither point, box nor mask.
    #[error("nothing is pointed at: give a point, a box or a mask")]
    EmptyMaskPrompt,
    /// A mask prompt is not of the model's size.
    #[error(
        "the mask to refine has {logits} logits and this model's have {side}x{side}: give one of its own answers"
    )]
    MaskPrompt {
        /// Logits given.
        logits: usize,
        /// Side of the model's own.
        side: usize,
    },
    /// The prompt has no question and no reference.
    #[error("the prompt is empty: give a question or at least one reference")]
    EmptyPrompt,
    /// A placeholder and the references do not go together.
    #[error("the prompt {prompt:?} {problem}")]
    Placeholder {
        /// The prompt as given.
        prompt: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Markers of references in a sequence of tokens, and the references, are not as many.
    #[error("the sequence has {markers} markers for {references} references: give one for each")]
    Markers {
        /// Markers that open a reference.
        markers: usize,
        /// References given.
        references: usize,
    },
    /// The spliced sequence is longer than the language model's context.
    #[error(
        "the question, the turns before it and {answer} tokens for the answer take {length} positions and the context has \
         {context}: shorten the question or drop references, lower --max-new-tokens, or start a chat anew with /new"
    )]
    ContextFull {
        /// Positions needed: the picture's, those of all turns, and the answer's.
        length: usize,
        /// The longest answer, in tokens.
        answer: usize,
        /// Positions there are.
        context: usize,
    },
    /// The model was built without an audio encoder.
    #[error("this model has no audio encoder: use a model whose config has `audio`")]
    NoAudioEncoder,
    /// The model is a SAM alone.
    #[error(
        "this model has no language model: point with --point or --box, or use a model that has one"
    )]
    NoLanguageModel,
    /// A mask of another size than its picture.
    #[error(
        "the reference mask is {mask:?} and its picture {image:?} (width, height): make them equal"
    )]
    MaskSize {
        /// Size of the mask.
        mask: (u32, u32),
        /// Size of the picture.
        image: (u32, u32),
    },
    /// The model has no SAM.
    #[error(
        "this model answers in words and makes no masks: ask it by `describe` or `chat`, or use one that has a SAM, such as \
         --model hf://xinlai/LISA-7B-v1, or hf://facebook/sam-vit-huge for points and boxes"
    )]
    NoMasks,
    /// A kind of reference that the model was not trained with and nothing stands in for.
    #[error("this model was not trained with a {kind} as a reference: {remedy}")]
    NotBridged {
        /// The kind.
        kind: ReferenceKind,
        /// Remedy.
        remedy: String,
    },
    /// A picture without pixels.
    #[error("the picture has no pixels: give one of at least 1x1")]
    EmptyPicture,
    /// The tokenizer has tokens that the model has no embedding for.
    #[error(
        "the tokenizer has {tokenizer} tokens and the model knows {model}: it does not belong to this model"
    )]
    Vocabulary {
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Tokens of the model.
        model: usize,
    },
    /// Parts of a config that do not fit together.
    #[error("config: {field} {problem}")]
    Config {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A special token is missing in the tokenizer.
    #[error("the tokenizer has no token {token:?}: it does not belong to this model")]
    MissingToken {
        /// The token.
        token: String,
    },
    /// A special token is taken apart by the tokenizer.
    #[error(
        "the tokenizer takes the token {token:?} apart: use the tokenizer files that came with the model, `added_tokens.json` \
         included"
    )]
    SplitToken {
        /// The token.
        token: String,
    },
    /// A model takes more memory than is free.
    #[error(transparent)]
    Memory(Box<MemoryShortage>),
    /// The device does not compute with the type asked for.
    #[error("the device of backend {backend} does not compute in {dtype}: use --dtype f32")]
    WeightType {
        /// What the backend calls itself.
        backend: String,
        /// The type.
        dtype: &'static str,
    },
    /// The device does not hold keys and values of the type asked for.
    #[error("the device of backend {backend} does not compute in {dtype}: use --kv-cache f32")]
    CacheType {
        /// Name that the backend has for itself.
        backend: String,
        /// The type.
        dtype: &'static str,
    },
    /// A part of a model is missing, damaged or does not fit.
    #[error("{part}: {source}")]
    Part {
        /// Which: clip, sam, imagebind, llm or adapter.
        part: &'static str,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The model computed values that are not numbers.
    #[error(
        "the model's answer is not a finite number: its weights are damaged, or too large for their type; load them again, or \
         use --dtype f32"
    )]
    NotFinite,
    /// The device failed, so that its results are wrong.
    #[error(transparent)]
    Device(#[from] DeviceFailure),
    /// The device refused a computation.
    #[error("the device could not compute: {reason}")]
    Execution {
        /// Its reason, on one line.
        reason: String,
    },
    /// The answer was cancelled.
    #[error("the answer was cancelled")]
    Cancelled,
    /// A picture of another engine.
    #[error("the picture was encoded by another engine: encode it with the one that is asked")]
    ForeignPicture,
    /// The backend does not start.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A model folder or a file of it is missing or not readable.
    #[error("{path}: {problem}")]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what helps.
        problem: String,
    },
}

impl From<ExecutionError> for Error {
    fn from(error: ExecutionError) -> Self {
        let reason = error.to_string();
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        Self::Execution { reason }
    }
}

impl From<anyref_llm::Error> for Error {
    fn from(error: anyref_llm::Error) -> Self {
        match error {
            anyref_llm::Error::Device(error) => error.into(),
            error => Self::Llm(error),
        }
    }
}

impl Error {
    /// An [`Error::Part`].
    pub(crate) fn of_part(part: &'static str) -> impl FnOnce(Self) -> Self {
        move |source| Self::Part {
            part,
            source: Box::new(source),
        }
    }

    /// Whether it is about one question alone, so that others may still be asked: a sound in which
    /// nothing can be heard, a box outside its picture, words that the model does not take, a
    /// prompt too long. Files that cannot be read are not of this kind, nor is what a model lacks.
    pub fn refuses_question(&self) -> bool {
        use anyref_audio::Error as Sound;
        match self {
            Self::Audio(error) => matches!(
                error,
                Sound::TooShort { .. } | Sound::Silent { .. } | Sound::NotFinite { .. }
            ),
            Self::Box { .. }
            | Self::Point { .. }
            | Self::ContradictoryPoint { .. }
            | Self::EmptyMaskPrompt
            | Self::MaskPrompt { .. }
            | Self::EmptyPrompt
            | Self::Placeholder { .. }
            | Self::Markers { .. }
            | Self::ContextFull { .. }
            | Self::MaskSize { .. }
            | Self::EmptyPicture => true,
            _ => false,
        }
    }

    /// The same error for each question of a batch that it ended.
    pub(crate) fn of_each(&self) -> Self {
        match self {
            Self::Cancelled => Self::Cancelled,
            Self::Device(failure) => Self::Device(failure.clone()),
            Self::Execution { reason } => Self::Execution {
                reason: reason.clone(),
            },
            other => Self::Execution {
                reason: other.to_string(),
            },
        }
    }

    /// An [`Error::Folder`].
    pub(crate) fn folder(path: &Path, problem: impl Into<String>) -> Self {
        Self::Folder {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
