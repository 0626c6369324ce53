//! Failures of a stage: its data do not fit the model, or cannot be read.

use std::path::PathBuf;

use anyref_core::ReferenceKind;
use anyref_data::datasets;

use crate::file_error::FileError;

/// Failure of a stage's batch, loss or validation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// A question or a reference does not fit the model.
    #[error(transparent)]
    Model(#[from] anyref_core::Error),
    /// A text cannot be tokenised.
    #[error(transparent)]
    Language(#[from] anyref_llm::Error),
    /// A data set cannot be read.
    #[error(transparent)]
    Data(#[from] datasets::Error),
    /// A sound is too short or too quiet.
    #[error(transparent)]
    Sound(#[from] anyref_audio::Error),
    /// The folder of cached features cannot be made or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Cached features are of different shapes.
    #[error("{} holds features of different shapes: delete it", .folder.display())]
    Features {
        /// The folder.
        folder: PathBuf,
    },
    /// No known name has a sound.
    #[error("the data set has no sounds: leave the audio stage out")]
    NoSounds,
    /// The audio stage is given, and the model has no audio encoder.
    #[error("the model has no audio encoder: leave the audio stage out")]
    NoAudioEncoder,
    /// No sound of a batch is heard.
    #[error("none of the data set's sounds is long and loud enough for the model")]
    Unheard,
    /// A question has a sound, and the model does not hear.
    #[error("the model has no audio encoder")]
    CannotHear,
    /// A question has a reference of a kind that the model does not read.
    #[error("the model reads no {kind} references: leave such questions out")]
    Unread {
        /// The kind.
        kind: ReferenceKind,
    },
    /// An item cannot be asked about.
    #[error("{dataset} {id}: {source}")]
    Item {
        /// Name of the data set.
        dataset: String,
        /// The item.
        id: String,
        /// The reason.
        source: Box<StageError>,
    },
    /// Files of an item are damaged.
    #[error("cannot be used: {source}")]
    Damaged {
        /// The reason.
        source: datasets::Error,
    },
    /// None of several items in a row can be asked about.
    #[error(
        "{dataset}: {count} items in a row, up from number {first}, cannot be asked about: {source}"
    )]
    ItemsInARow {
        /// Name of the data set.
        dataset: String,
        /// Number of items.
        count: u64,
        /// Index of the first.
        first: usize,
        /// The reason of the last.
        source: Box<StageError>,
    },
    /// A data set is empty.
    #[error("{dataset} has no items")]
    NoItems {
        /// Name of the data set.
        dataset: String,
    },
    /// A stage has no batches.
    #[error("the stage has nothing to learn from")]
    NothingToLearn,
    /// A question with its answer is longer than the model's context.
    #[error(
        "a picture, its question and answer are {length} positions long, and the model reads {most}"
    )]
    TooLong {
        /// Number of positions.
        length: usize,
        /// Most positions.
        most: usize,
    },
    /// An answer points at more or fewer things than there are.
    #[error("an answer's <obj> and targets differ")]
    Targets,
    /// A question and its answer share a token.
    #[error("the tokenizer merges a question with its answer: {question:?} {answer:?}")]
    Merged {
        /// The question.
        question: String,
        /// The answer.
        answer: String,
    },
    /// The end of the picture is not in the conversation.
    #[error("the conversation has no picture")]
    NoPicture,
    /// Nothing is asked about a picture.
    #[error("a picture has no usable question")]
    NoQuestion,
    /// A mask is not of its picture's size.
    #[error("a mask of {}x{} for a picture of {}x{}", .mask[0], .mask[1], .picture[0], .picture[1])]
    MaskSize {
        /// Width and height of the mask.
        mask: [usize; 2],
        /// Width and height of the picture.
        picture: [usize; 2],
    },
    /// No scene gives occasion for a question.
    #[error(
        "{scenes} scenes have no occasion for any question: give other kinds a weight in `instructions.weights`"
    )]
    NoOccasion {
        /// Number of scenes that were tried.
        scenes: u64,
    },
    /// A stage of another crate fails.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl StageError {
    /// Whether an item's own files are damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self.of_item(), Self::Damaged { .. })
    }

    /// Whether a sound is too short or too quiet.
    pub(crate) fn is_unheard(&self) -> bool {
        use anyref_audio::Error::{Silent, TooShort};
        matches!(self.of_item(), Self::Sound(Silent { .. } | TooShort { .. }))
    }

    /// The error without the item that it is about.
    fn of_item(&self) -> &Self {
        match self {
            Self::Item { source, .. } => source.of_item(),
            error => error,
        }
    }
}
