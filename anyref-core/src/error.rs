//! Errors of the crate.

use std::path::{Path, PathBuf};

use anyref_ops::DeviceFailure;
use burn::tensor::backend::ExecutionError;

use crate::backend::BackendError;
use crate::memory_estimate::MemoryShortage;
use crate::reference_kind::ReferenceKind;

/// Result of this crate.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Errors of the composed model; each is one line that names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Picture could not be read.
    #[error(transparent)]
    Vision(#[from] anyref_vision::Error),
    /// Sound could not be read.
    #[error(transparent)]
    Audio(#[from] anyref_audio::Error),
    /// Tokenizer failed.
    #[error(transparent)]
    Llm(anyref_llm::Error),
    /// Mask could not be decoded.
    #[error(transparent)]
    Decoder(#[from] anyref_decoder::Error),
    /// Weights could not be read or written.
    #[error(transparent)]
    Weights(#[from] anyref_weights::Error),
    /// Box is invalid or not inside its picture.
    #[error(
        "box {x0},{y0},{x1},{y1} does not fit the {width}x{height} picture: use 0 <= x0 < x1 <= {width}, 0 <= y0 < y1 <= {height}, in pixels"
    )]
    Box {
        /// Left edge.
        x0: f32,
        /// Top edge.
        y0: f32,
        /// Right edge.
        x1: f32,
        /// Bottom edge.
        y1: f32,
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
    },
    /// Point is not inside its picture.
    #[error(
        "point {x},{y} lies outside the {width}x{height} picture: use 0 <= x < {width}, 0 <= y < {height}, in pixels"
    )]
    Point {
        /// Horizontal position in pixels from the left.
        x: f32,
        /// Vertical position in pixels from the top.
        y: f32,
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
    },
    /// Point is marked both on and off the object.
    #[error("point {x},{y} is given as on the object and as off it: give it once")]
    ContradictoryPoint {
        /// Horizontal position in pixels from the left.
        x: f32,
        /// Vertical position in pixels from the top.
        y: f32,
    },
    /// Mask prompt has neither point, box nor mask.
    #[error("nothing is pointed at: give a point, a box or a mask")]
    EmptyMaskPrompt,
    /// Mask prompt does not have the model's size.
    #[error(
        "the mask to refine has {logits} logits and this model's have {side}x{side}: give one of its own answers"
    )]
    MaskPrompt {
        /// Number of logits given.
        logits: usize,
        /// Side of the model's own logits.
        side: usize,
    },
    /// Prompt has no question and no reference.
    #[error("the prompt is empty: give a question or at least one reference")]
    EmptyPrompt,
    /// Placeholders and references do not match.
    #[error("the prompt {prompt:?} {problem}")]
    Placeholder {
        /// Prompt as given.
        prompt: String,
        /// Fault of the prompt.
        problem: String,
    },
    /// Numbers of reference markers and of references differ.
    #[error("the sequence has {markers} markers for {references} references: give one for each")]
    Markers {
        /// Number of opening markers.
        markers: usize,
        /// Number of references.
        references: usize,
    },
    /// Spliced sequence is longer than the language model's context.
    #[error(
        "the question, the turns before it and {answer} tokens for the answer take {length} positions and the context has \
         {context}: shorten the question or drop references, lower --max-new-tokens, or start a chat anew with /new"
    )]
    ContextFull {
        /// Positions needed for the picture, all turns and the answer.
        length: usize,
        /// Maximum tokens of the answer.
        answer: usize,
        /// Positions of the context.
        context: usize,
    },
    /// Model has no audio encoder.
    #[error("this model has no audio encoder: use a model whose config has `audio`")]
    NoAudioEncoder,
    /// Model is a standalone SAM.
    #[error(
        "this model has no language model: point with --point or --box, or use a model that has one"
    )]
    NoLanguageModel,
    /// Mask and picture differ in size.
    #[error(
        "the reference mask is {mask:?} and its picture {image:?} (width, height): make them equal"
    )]
    MaskSize {
        /// Size of the mask (width, height).
        mask: (u32, u32),
        /// Size of the picture (width, height).
        image: (u32, u32),
    },
    /// Mask of a region has no pixels.
    #[error("the mask of the region is black all over: paint the object white")]
    EmptyRegion,
    /// Model has no SAM.
    #[error(
        "this model answers in words and makes no masks: ask it by `describe` or `chat`, or use one that has a SAM, such as \
         --model hf://xinlai/LISA-7B-v1, or hf://facebook/sam-vit-huge for points and boxes"
    )]
    NoMasks,
    /// Model was not trained with a kind of reference, and no bridge replaces it.
    #[error("this model was not trained with a {kind} as a reference: {remedy}")]
    NotBridged {
        /// Kind of the reference.
        kind: ReferenceKind,
        /// Remedy.
        remedy: String,
    },
    /// Picture has no pixels.
    #[error("the picture has no pixels: give one of at least 1x1")]
    EmptyPicture,
    /// Tokenizer has more tokens than the model has embeddings.
    #[error(
        "the tokenizer has {tokenizer} tokens and the model knows {model}: it does not belong to this model"
    )]
    Vocabulary {
        /// Number of the tokenizer's tokens.
        tokenizer: usize,
        /// Number of the model's tokens.
        model: usize,
    },
    /// Fields of a config contradict each other.
    #[error("config: {field} {problem}")]
    Config {
        /// Invalid field.
        field: &'static str,
        /// Fault of the field.
        problem: String,
    },
    /// Tokenizer lacks a special token.
    #[error("the tokenizer has no token {token:?}: it does not belong to this model")]
    MissingToken {
        /// Missing token.
        token: String,
    },
    /// Tokenizer splits a special token.
    #[error(
        "the tokenizer takes the token {token:?} apart: use the tokenizer files that came with the model, `added_tokens.json` \
         included"
    )]
    SplitToken {
        /// Split token.
        token: String,
    },
    /// Model takes more memory than is free.
    #[error(transparent)]
    Memory(Box<MemoryShortage>),
    /// Device does not support the requested type.
    #[error("the device of backend {backend} does not compute in {dtype}: use --dtype f32")]
    WeightType {
        /// Name of the device given by the backend.
        backend: String,
        /// Requested type.
        dtype: &'static str,
    },
    /// Device does not hold keys and values of the requested type.
    #[error("the device of backend {backend} does not compute in {dtype}: use --kv-cache f32")]
    CacheType {
        /// Name that the backend has for itself.
        backend: String,
        /// The type.
        dtype: &'static str,
    },
    /// Part of a model is missing, damaged or does not fit.
    #[error("{part}: {source}")]
    Part {
        /// Name of the part: clip, sam, imagebind, llm or adapter.
        part: &'static str,
        /// Fault of the part.
        source: Box<Error>,
    },
    /// Model computed NaN or infinity.
    #[error(
        "the model's answer is not a finite number: its weights are damaged, or too large for their type; load them again, or \
         use --dtype f32"
    )]
    NotFinite,
    /// Device failed, so its results are wrong.
    #[error(transparent)]
    Device(#[from] DeviceFailure),
    /// Device rejected a computation.
    #[error("the device could not compute: {reason}")]
    Execution {
        /// Reason on one line.
        reason: String,
    },
    /// Answer was cancelled.
    #[error("the answer was cancelled")]
    Cancelled,
    /// Picture belongs to another engine.
    #[error("the picture was encoded by another engine: encode it with the one that is asked")]
    ForeignPicture,
    /// Backend does not start.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Model folder or one of its files is missing or unreadable.
    #[error("{path}: {problem}")]
    Folder {
        /// File or folder.
        path: PathBuf,
        /// Fault and remedy.
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
    /// Wraps an error as an [`Error::Part`].
    pub(crate) fn of_part(part: &'static str) -> impl FnOnce(Self) -> Self {
        move |source| Self::Part {
            part,
            source: Box::new(source),
        }
    }

    /// Returns whether the error concerns a single question, so that others can still be asked: a
    /// silent sound, a box outside its picture, invalid words, a prompt that is too long.
    /// Unreadable files and missing parts of the model are not of this kind.
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
            | Self::EmptyRegion
            | Self::Placeholder { .. }
            | Self::Markers { .. }
            | Self::ContextFull { .. }
            | Self::MaskSize { .. }
            | Self::EmptyPicture => true,
            _ => false,
        }
    }

    /// Copies an error that ended a batch for each of its questions.
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

    /// Creates an [`Error::Folder`].
    pub(crate) fn folder(path: &Path, problem: impl Into<String>) -> Self {
        Self::Folder {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
