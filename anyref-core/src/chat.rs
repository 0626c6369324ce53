//! Conversations about one picture.

use std::ops::ControlFlow;

use burn::tensor::{backend::Backend, read_sync};

use crate::conversation::{Conversation, Goal, History, Turn};
use crate::observer::{Cancel, Observer};
use crate::picture::Picture;
use crate::{Answer, AnyRef, Prompt, Result};

/// Conversation about one picture; each answer may have masks. The model reads up to
/// [`AnyRefConfig::max_history_turns`](crate::AnyRefConfig::max_history_turns) earlier turns; older
/// ones are dropped.
#[derive(Debug)]
pub struct Chat<'a, B: Backend> {
    anyref: &'a AnyRef<B>,
    picture: &'a Picture<B>,
    history: History,
}

impl<'a, B: Backend> Chat<'a, B> {
    pub(crate) fn new(anyref: &'a AnyRef<B>, picture: &'a Picture<B>) -> Self {
        Self {
            anyref,
            picture,
            history: History::default(),
        }
    }

    /// Asks the next question. `on_text` receives the answer in pieces, so it is always the greedy
    /// one, regardless of [`AnyRefConfig::candidates`](crate::AnyRefConfig::candidates); `Break`
    /// ends it.
    ///
    /// # Errors
    /// When the prompt does not fit; the conversation is then unchanged.
    pub fn ask(
        &mut self,
        prompt: Prompt,
        on_text: &mut (dyn FnMut(&str) -> ControlFlow<()> + Send),
    ) -> Result<Answer> {
        read_sync(self.ask_async(prompt, on_text))
    }

    /// Asynchronous form of [`ask`](Self::ask).
    ///
    /// # Errors
    /// See [`ask`](Self::ask).
    pub async fn ask_async(
        &mut self,
        prompt: Prompt,
        on_text: &mut (dyn FnMut(&str) -> ControlFlow<()> + Send),
    ) -> Result<Answer> {
        let cancel = Cancel::new();
        let observer = &mut |_: usize, piece: &str| on_text(piece);
        self.anyref
            .chat_turn(self.picture, &mut self.history, prompt, observer, &cancel)
            .await
    }

    /// Number of answered questions.
    pub fn turns(&self) -> usize {
        self.history.answered()
    }

    /// Number of answered questions that are kept as context of the next one.
    pub fn kept_turns(&self) -> usize {
        self.history.kept()
    }

    /// Forgets all questions and answers.
    pub fn clear(&mut self) {
        self.history.clear();
    }
}

impl<B: Backend> AnyRef<B> {
    /// Answers a prompt after the turns of a history and appends it; an error leaves the history
    /// unchanged.
    pub(crate) async fn chat_turn(
        &self,
        picture: &Picture<B>,
        history: &mut History,
        prompt: Prompt,
        observer: &mut dyn Observer,
        cancel: &Cancel,
    ) -> Result<Answer> {
        let (prompt, bridges) = self.in_words(picture, &prompt, cancel).await?;
        let turn = Turn::new(prompt, Goal::Chat, &self.config.prompts)?;
        let mut turns = history.turns().to_vec();
        turns.push(turn);
        let asked = Conversation {
            picture,
            turns: &turns,
            goal: Goal::Chat,
        };
        let mut answers = self.answers(&[asked], observer, cancel).await;
        let mut answer = answers.remove(0)?;
        answer.bridges = bridges;
        if let Some(mut turn) = turns.pop() {
            turn.answer = Some(answer.raw.clone());
            history.push(turn, self.config.max_history_turns);
        }
        Ok(answer)
    }
}
