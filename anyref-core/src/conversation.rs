//! Question about a picture, with the turns before it.

use burn::tensor::backend::Backend;

use crate::picture::Picture;
use crate::prompt::Question;
use crate::prompt_config::{DESCRIBE_QUESTION, PromptConfig};
use crate::{Prompt, Reference, Result};

/// Purpose of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Masks of the references.
    Segment,
    /// Words for the reference.
    Describe,
    /// Answer that is shown while it is generated, so there is no choice among several.
    Chat,
}

/// Question, with its answer once there is one.
#[derive(Debug, Clone)]
pub struct Turn {
    pub(crate) prompt: Prompt,
    pub(crate) question: Question,
    pub(crate) answer: Option<String>,
}

impl Turn {
    /// Resolves a prompt to its question, in the words that a model was trained with.
    ///
    /// # Errors
    /// See [`Prompt::segmentation`] and [`Prompt::description`].
    pub fn new(prompt: Prompt, goal: Goal, config: &PromptConfig) -> Result<Self> {
        let question = match goal {
            Goal::Segment | Goal::Chat => prompt.segmentation_for(config)?,
            Goal::Describe => prompt.description_for(config)?,
        };
        Ok(Self {
            prompt,
            question,
            answer: None,
        })
    }

    /// Box whose content the default question asks for; a custom question may be about something
    /// else, such as a neighbour of the box.
    pub(crate) fn asked_box(&self) -> Option<[f32; 4]> {
        let [reference] = &self.prompt.references[..] else {
            return None;
        };
        let region = reference.region()?;
        let default = Prompt::new([Reference::Box(region)]).segmentation().ok()?;
        (self.question.text == default.text).then_some(region)
    }
}

/// Picture and the turns about it, the last of which is to be answered.
#[derive(Debug)]
pub(crate) struct Conversation<'a, B: Backend> {
    pub(crate) picture: &'a Picture<B>,
    pub(crate) turns: &'a [Turn],
    pub(crate) goal: Goal,
}

impl<B: Backend> Clone for Conversation<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Conversation<'_, B> {}

impl<B: Backend> Conversation<'_, B> {
    /// Returns whether answers can be measured, which reranking needs: a description by a custom
    /// question may be anything.
    pub(crate) fn has_measure(&self) -> bool {
        let question = self.turns.last();
        let question = question.and_then(|turn| turn.prompt.question.as_deref());
        match self.goal {
            Goal::Segment => true,
            Goal::Describe => question.is_none_or(|question| question == DESCRIBE_QUESTION),
            Goal::Chat => false,
        }
    }
}

/// Answered turns, limited to the last ones that a model reads.
#[derive(Debug, Clone, Default)]
pub struct History {
    turns: Vec<Turn>,
    answered: usize,
}

impl History {
    /// Turns that are read with the next question.
    pub(crate) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Adds an answered turn, and drops the oldest beyond `most`; `None` is no limit.
    pub(crate) fn push(&mut self, turn: Turn, most: Option<usize>) {
        self.answered += 1;
        self.turns.push(turn);
        let beyond = most.map_or(0, |most| self.turns.len().saturating_sub(most));
        self.turns.drain(..beyond);
    }

    /// Number of answered questions, including those that are no longer read.
    pub fn answered(&self) -> usize {
        self.answered
    }

    /// Number of turns that are kept as context.
    pub fn kept(&self) -> usize {
        self.turns.len()
    }

    /// Forgets all turns.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
