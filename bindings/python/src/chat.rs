//! Conversations, with answers in pieces.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, TryLockError};

use anyref_core::{Cancel, Dialogue, SpecialTokens};
use burn::tensor::read_sync;
use pyo3::prelude::*;

use crate::answer::Answer;
use crate::error::{fault, raised};
use crate::model::Picture;
use crate::reference::Reference;
use crate::running::{Received, receive, worker};

/// Conversation about a picture.
#[pyclass(frozen, module = "anyref._native")]
pub struct Chat {
    picture: Py<Picture>,
    dialogue: Arc<Mutex<Dialogue>>,
}

/// Message of the thread that answers.
enum News {
    Piece(String),
    Ended(PyResult<anyref_core::Answer>),
}

#[pymethods]
impl Chat {
    #[new]
    fn new(picture: Py<Picture>) -> Self {
        let dialogue = Dialogue::new(picture.get().encoded.clone());
        Self {
            picture,
            dialogue: Arc::new(Mutex::new(dialogue)),
        }
    }

    /// Number of answered questions.
    fn answered(&self) -> PyResult<usize> {
        Ok(self.free()?.history().answered())
    }

    /// Forgets all earlier questions and answers.
    fn clear(&self) -> PyResult<()> {
        self.free()?.clear();
        Ok(())
    }

    /// Asks the next question on a thread of its own.
    fn ask(&self, references: Vec<Py<Reference>>, question: Option<String>) -> PyResult<Stream> {
        drop(self.free()?);
        let picture = self.picture.get();
        let prompt = picture.prompt(&references, question)?;
        let (engine, dialogue) = (picture.engine.clone(), self.dialogue.clone());
        let cancel = Cancel::new();
        let cancelled = cancel.clone();
        let (sender, receiver) = channel();
        let pieces = sender.clone();
        let answer = move || {
            // After a panic the dialogue is as before the question.
            let mut dialogue = dialogue.lock().unwrap_or_else(|error| error.into_inner());
            let mut on_text = |piece: &str| {
                let piece = SpecialTokens::words_of_piece(piece);
                match piece.is_empty() || pieces.send(News::Piece(piece)).is_ok() {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            read_sync(engine.chat_async(&mut dialogue, prompt, &mut on_text, &cancelled))
        };
        let thread = worker().spawn(move || {
            let ended = match catch_unwind(AssertUnwindSafe(answer)) {
                Ok(answered) => answered.map_err(raised),
                Err(_) => Err(fault()),
            };
            // The receiver may be gone.
            let _ = sender.send(News::Ended(ended));
        });
        thread.map_err(|error| raised(format!("no thread can be started: {error}")))?;
        Ok(Stream {
            state: Mutex::new(State::Running(receiver)),
            cancel,
        })
    }
}

impl Chat {
    /// Dialogue, unless a question is being answered.
    fn free(&self) -> PyResult<std::sync::MutexGuard<'_, Dialogue>> {
        match self.dialogue.try_lock() {
            Ok(dialogue) => Ok(dialogue),
            Err(TryLockError::Poisoned(error)) => Ok(error.into_inner()),
            Err(TryLockError::WouldBlock) => Err(raised(
                "the chat still answers the question before: read its answer to the end, or stop \
                 it",
            )),
        }
    }
}

/// Answer that is being generated.
#[pyclass(frozen, module = "anyref._native")]
pub struct Stream {
    state: Mutex<State>,
    cancel: Cancel,
}

enum State {
    Running(Receiver<News>),
    Answered(anyref_core::Answer),
    Failed(PyErr),
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[pymethods]
impl Stream {
    /// Next piece of the text; `None` at the end.
    fn piece(&self, py: Python<'_>) -> PyResult<Option<String>> {
        py.detach(|| {
            let mut state = self.state.lock().unwrap_or_else(|error| error.into_inner());
            let ended = match &*state {
                State::Running(receiver) => match receive(receiver) {
                    Received::Item(News::Piece(piece)) => return Ok(Some(piece)),
                    Received::Item(News::Ended(ended)) => ended,
                    Received::Interrupted(error) => {
                        self.cancel.cancel();
                        return Err(error);
                    }
                    Received::Closed => Err(fault()),
                },
                State::Answered(_) => return Ok(None),
                State::Failed(error) => return Err(Python::attach(|py| error.clone_ref(py))),
            };
            match ended {
                Ok(answer) => {
                    *state = State::Answered(answer);
                    Ok(None)
                }
                Err(error) => {
                    *state = State::Failed(Python::attach(|py| error.clone_ref(py)));
                    Err(error)
                }
            }
        })
    }

    /// Waits for the end of the answer and returns it.
    fn answer(&self, py: Python<'_>) -> PyResult<Answer> {
        while self.piece(py)?.is_some() {}
        match &*self.state.lock().unwrap_or_else(|error| error.into_inner()) {
            State::Answered(answer) => Ok(Answer(answer.clone())),
            _ => Err(fault()),
        }
    }

    /// Stops the answer; the conversation is then as before the question.
    fn stop(&self) {
        self.cancel.cancel();
    }
}
