//! Work for the model, and the channels for its results.

use std::time::Instant;

use anyref_api::Outcome;
use anyref_core::{
    Answer, Dialogue, EncodedPicture, Explanation, Goal, Mask, MaskPrediction, MaskPrompt,
    Multimask, Prompt,
};
use image::RgbImage;
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use crate::ticket::Ticket;

/// Piece of an answer that is being generated.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Part of the sentence.
    Text(String),
    /// Mask with its number in the answer.
    Mask(usize, Mask),
}

/// Channel for an answer as it is generated.
#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    pub(crate) sender: mpsc::UnboundedSender<Piece>,
    /// Whether masks are sent before the answer is complete.
    pub(crate) masks: bool,
}

impl Pieces {
    /// Sends a piece; whether somebody listens.
    pub(crate) fn send(&self, piece: Piece) -> bool {
        self.sender.send(piece).is_ok()
    }
}

/// Question in the queue.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) picture: EncodedPicture,
    pub(crate) prompt: Prompt,
    pub(crate) goal: Goal,
    /// Whether masks are predicted for a description that has none.
    pub(crate) locate: bool,
    pub(crate) pieces: Option<Pieces>,
    /// Largest number of text pieces in the answer.
    pub(crate) most_pieces: Option<usize>,
}

/// Work to compute, with the channel for its result.
#[derive(Debug)]
pub(crate) enum Work {
    /// Encodes a picture.
    Encode(RgbImage, Reply<EncodedPicture>),
    /// Answers a question, in a batch with others.
    Ask(Box<Asked>, Reply<Answer>),
    /// Answers a question with the attention behind its answer.
    Explain(EncodedPicture, Prompt, Reply<(Answer, Vec<Explanation>)>),
    /// Predicts masks for points, a box or an earlier mask.
    Masks(EncodedPicture, MaskPrompt, Multimask, Reply<MaskPrediction>),
    /// Answers the next turn of a dialogue, and returns the dialogue.
    Chat(
        Box<Dialogue>,
        Prompt,
        Option<Pieces>,
        Reply<(Dialogue, Outcome<Answer>)>,
    ),
}

pub(crate) type Reply<T> = oneshot::Sender<Outcome<T>>;

/// Piece of work with its place in the queue.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) ticket: Ticket,
    pub(crate) since: Instant,
    /// Span of its request.
    pub(crate) span: Span,
}
