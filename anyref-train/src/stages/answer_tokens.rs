//! Tokens of a question and its answer.

use anyref_core::Question;
use anyref_data::scenes::OBJECT;

use super::context::StageContext;
use crate::stage_error::StageError;

/// Token ids of an instruction, split after the picture and before the answer.
pub(super) struct InstructionTokens {
    /// Ids up to the end of the picture.
    pub(super) prefix: Vec<u32>,
    /// Ids after the picture, up to the answer.
    pub(super) question: Vec<u32>,
    /// Ids of the answer, with the end-of-sequence token.
    pub(super) answer: Vec<u32>,
}

impl InstructionTokens {
    /// Tokenises a question and its answer in the model's conversation template. A line feed that
    /// the template has behind an answer's end is no part of it.
    ///
    /// # Errors
    /// When the tokenizer merges the question with its answer.
    pub(super) fn new(
        context: &StageContext,
        question: &Question,
        answer: &str,
    ) -> Result<Self, StageError> {
        let prompts = &context.model.prompts;
        let begins = prompts.begins();
        let text = &question.text;
        let asked = prompts.template.conversation();
        let asked = asked.ask(prompts.opened(text, question.marked.len()));
        let tokenizer = &context.tokenizer;
        let prompt = tokenizer.encode(&asked.clone().open().prompt(), begins)?;
        let all = tokenizer.encode(&asked.answer(answer).prompt(), begins)?;
        if all.len() <= prompt.len() || all[..prompt.len()] != prompt {
            return Err(StageError::Merged {
                question: text.into(),
                answer: answer.into(),
            });
        }
        let cut = prompt
            .iter()
            .position(|&id| context.special.image_end == Some(id))
            .ok_or(StageError::NoPicture)?;
        let answer = &all[prompt.len()..];
        let end = answer.iter().rposition(|&id| id == context.special.end);
        let end = end.map_or(answer.len(), |end| end + 1);
        Ok(Self {
            prefix: prompt[..=cut].to_vec(),
            question: prompt[cut + 1..].to_vec(),
            answer: answer[..end].to_vec(),
        })
    }

    /// Number of the answer's first tokens that spell `words`; `None` when the words end within a
    /// token.
    pub(super) fn leading(
        &self,
        context: &StageContext,
        question: &Question,
        words: &str,
    ) -> Result<Option<usize>, StageError> {
        let pointing = Self::new(context, question, &format!("{words}{OBJECT}."))?.answer;
        let object = context.object;
        let count = pointing.iter().take_while(|&&id| id != object).count();
        Ok((count > 0 && self.answer.get(..count) == Some(&pointing[..count])).then_some(count))
    }
}
