//! Work for the model, and where its results go.

use std::time::Instant;

use anyref_api::Outcome;
use anyref_core::{
    Answer, Dialogue, EncodedPicture, Explanation, Goal, MaskPrediction, MaskPrompt, Multimask,
    Prompt,
};
use image::RgbImage;
use tokio::sync::{mpsc, oneshot};

use crate::ticket::Ticket;

/// Where an answer's text goes as it comes.
pub(crate) type Pieces = mpsc::UnboundedSender<String>;

/// A question of the queue.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) picture: EncodedPicture,
    pub(crate) prompt: Prompt,
    pub(crate) goal: Goal,
    /// Whether masks are asked for where a description brings none.
    pub(crate) locate: bool,
    pub(crate) pieces: Option<Pieces>,
    /// Pieces of text after which the answer ends.
    pub(crate) most_pieces: Option<usize>,
}

/// Work to compute, and where the result goes.
#[derive(Debug)]
pub(crate) enum Work {
    /// A picture.
    Encode(RgbImage, Reply<EncodedPicture>),
    /// A question, answered with others.
    Ask(Box<Asked>, Reply<Answer>),
    /// A question with the attention behind its answer.
    Explain(EncodedPicture, Prompt, Reply<(Answer, Vec<Explanation>)>),
    /// Masks for points, a box or an earlier mask.
    Masks(EncodedPicture, MaskPrompt, Multimask, Reply<MaskPrediction>),
    /// The next turn of a dialogue, which comes back.
    Chat(
        Box<Dialogue>,
        Prompt,
        Option<Pieces>,
        Reply<(Dialogue, Outcome<Answer>)>,
    ),
}

pub(crate) type Reply<T> = oneshot::Sender<Outcome<T>>;

/// A piece of work with its place in the queue.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) ticket: Ticket,
    pub(crate) since: Instant,
}
