//! Observation of generated text, and cancellation.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Callback that receives the number of a question and a piece of its answer; `Break` ends that
/// answer.
pub type OnText<'a> = &'a mut (dyn FnMut(usize, &str) -> ControlFlow<()> + Send);

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
