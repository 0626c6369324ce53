//! Text as it is generated, and requests to stop.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// Receives the number of a question and a piece of its answer; `Break` ends that answer there.
pub type OnText<'a> = &'a mut (dyn FnMut(usize, &str) -> ControlFlow<()> + Send);

/// A request to stop, from any thread. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A request that was not made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the request: answers that are under way end with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the request was made.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The same as an error.
    pub(crate) fn check(&self) -> Result<()> {
        match self.is_cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

/// An [`OnText`] that lets every answer go on.
pub(crate) fn unobserved(_question: usize, _text: &str) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
