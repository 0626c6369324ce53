//! Several turns about one picture.

use burn::tensor::backend::Backend;

use crate::generation::Turn;
use crate::picture::Picture;
use crate::{Answer, AnyRef, Prompt, Result};

/// A conversation about one picture; each answer may bring masks. The model reads as many of the turns before as
/// [`AnyRefConfig::max_history_turns`](crate::AnyRefConfig::max_history_turns) says.
#[derive(Debug)]
pub struct Chat<'a, B: Backend> {
    anyref: &'a AnyRef<B>,
    picture: &'a Picture<B>,
    turns: Vec<Turn>,
}

impl<'a, B: Backend> Chat<'a, B> {
    pub(crate) fn new(anyref: &'a AnyRef<B>, picture: &'a Picture<B>) -> Self {
        Self {
            anyref,
            picture,
            turns: Vec::new(),
        }
    }

    /// Asks the next question. `on_text` receives the answer piece by piece, so that it is the greedy one, whatever
    /// [`AnyRefConfig::candidates`](crate::AnyRefConfig::candidates) says.
    ///
    /// # Errors
    /// When the prompt does not fit; the conversation is then as before.
    pub fn ask(&mut self, prompt: Prompt, on_text: &mut dyn FnMut(&str)) -> Result<Answer> {
        let question = prompt.segmentation()?;
        self.turns.push(Turn {
            question,
            references: prompt.references,
            answer: None,
        });
        let read = self.anyref.config.max_history_turns.unwrap_or(usize::MAX);
        let first = self.turns.len().saturating_sub(read.saturating_add(1));
        let turns = &self.turns[first..];
        match self.anyref.answer(self.picture, turns, on_text) {
            Ok(answer) => {
                if let Some(turn) = self.turns.last_mut() {
                    turn.answer = Some(answer.raw.clone());
                }
                Ok(answer)
            }
            Err(error) => {
                self.turns.pop();
                Err(error)
            }
        }
    }

    /// Number of answered questions.
    pub fn turns(&self) -> usize {
        self.turns.len()
    }

    /// Forgets everything asked and answered before.
    pub fn clear(&mut self) {
        self.turns.clear();
    }
}
