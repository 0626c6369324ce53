//! Observation of answers while they are generated, and cancellation.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Mask, Result};

/// Callback that receives the number of a question and a piece of its answer; `Break` ends that
/// answer.
pub type OnText<'a> = &'a mut (dyn FnMut(usize, &str) -> ControlFlow<()> + Send);

/// Observer of answers while they are generated. A closure like [`OnText`] observes the text alone.
pub trait Observer: Send {
    /// Receives the number of a question and a piece of its answer; `Break` ends that answer.
    fn text(&mut self, question: usize, piece: &str) -> ControlFlow<()>;

    /// Returns whether the masks of a question are wanted as its words come. Each is then decoded
    /// by itself, before the words after it are generated; else all are decoded at the end.
    fn wants_masks(&self, question: usize) -> bool {
        let _ = question;
        false
    }

    /// Receives a question's mask with its number in the answer, from 0. The answer has the same
    /// mask.
    fn mask(&mut self, question: usize, number: usize, mask: &Mask) {
        let _ = (question, number, mask);
    }
}

impl<F: FnMut(usize, &str) -> ControlFlow<()> + Send> Observer for F {
    fn text(&mut self, question: usize, piece: &str) -> ControlFlow<()> {
        self(question, piece)
    }
}

/// Observer of a part of the questions, which are numbered otherwise among all.
pub(crate) struct Renumbered<'a, F> {
    pub(crate) observer: &'a mut dyn Observer,
    /// Number among all questions of one of the part.
    pub(crate) number: F,
}

impl<F: Fn(usize) -> usize + Send> Observer for Renumbered<'_, F> {
    fn text(&mut self, question: usize, piece: &str) -> ControlFlow<()> {
        self.observer.text((self.number)(question), piece)
    }

    fn wants_masks(&self, question: usize) -> bool {
        self.observer.wants_masks((self.number)(question))
    }

    fn mask(&mut self, question: usize, number: usize, mask: &Mask) {
        self.observer.mask((self.number)(question), number, mask);
    }
}

/// Cancellation request, from any thread. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Creates a request that is not yet made.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the request: running answers end with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the request was made.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns an error if the request was made.
    pub(crate) fn check(&self) -> Result<()> {
        match self.is_cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

/// Callback that ignores the text and never breaks.
pub(crate) fn unobserved(_question: usize, _text: &str) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
