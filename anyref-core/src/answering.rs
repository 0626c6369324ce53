//! Steps of every answer: encode, generate, decode masks.

use std::time::Duration;

use anyref_ops::{each_within_pool, on_processor};
use burn::tensor::{backend::Backend, read_sync};
use web_time::Instant;

use crate::conversation::Conversation;
use crate::encoding::EncodedQuestion;
use crate::generation::{Generated, Prefilled};
use crate::memory::{RowLength, answer_bytes};
use crate::observer::{Cancel, Observer, Renumbered, unobserved};
use crate::{Answer, AnyRef, Result};

/// Answer with all its masks, and the states that it came from.
pub(crate) struct Answered<B: Backend> {
    pub(crate) answer: Answer,
    pub(crate) states: States<B>,
}

/// States of the language model behind an answer.
pub(crate) enum States<B: Backend> {
    /// States computed while the answer was generated.
    Generated(Generated<B>),
    /// States to be recomputed from the question and the tokens of the chosen answer.
    Chosen(Prefilled<B>, Vec<u32>),
}

/// Encoded questions that are answered together.
struct Batch<'a, B: Backend> {
    /// Indices among all questions.
    places: Vec<usize>,
    asked: Vec<Conversation<'a, B>>,
    questions: Vec<EncodedQuestion<B>>,
}

impl<B: Backend> Batch<'_, B> {
    fn new() -> Self {
        Self {
            places: Vec::new(),
            asked: Vec::new(),
            questions: Vec::new(),
        }
    }
}

impl<B: Backend> AnyRef<B> {
    /// Answers the last question of each conversation, with the masks of sufficient score. Greedy
    /// questions go through the three steps together, in batches limited by
    /// [`batch_bytes`](Self::batch_bytes); the others each by itself.
    pub(crate) async fn answers(
        &self,
        asked: &[Conversation<'_, B>],
        observer: &mut dyn Observer,
        cancel: &Cancel,
    ) -> Vec<Result<Answer>> {
        let mut answers = Vec::with_capacity(asked.len());
        // Consecutive questions of one kind are grouped, so that answers keep their order.
        for asked in asked.chunk_by(|one, next| self.reranks(*one) == self.reranks(*next)) {
            let first = answers.len();
            if self.reranks(asked[0]) {
                answers.extend(self.reranked_answers(asked, cancel).await);
            } else {
                let observer = &mut Renumbered {
                    observer: &mut *observer,
                    number: |row: usize| first + row,
                };
                answers.extend(self.unranked_answers(asked, observer, cancel).await);
            }
        }
        let visible = |answer| {
            self.device_checked(answer)
                .map(|a| self.without_doubtful(a))
        };
        answers.into_iter().map(visible).collect()
    }

    /// Chooses each answer among several: on the processor several questions at a time, within
    /// [`batch_bytes`](Self::batch_bytes).
    async fn reranked_answers(
        &self,
        asked: &[Conversation<'_, B>],
        cancel: &Cancel,
    ) -> Vec<Result<Answer>> {
        let mut answers = Vec::with_capacity(asked.len());
        if on_processor::<B>() {
            for asked in asked.chunks(self.reranked_at_once(asked)) {
                let start = Instant::now();
                // Of the processor nothing has to be waited for.
                let mut chosen = each_within_pool::<B, _, _>(asked, |&asked| {
                    Ok(read_sync(self.rerank(asked, cancel))?.answer)
                });
                share_time(&mut chosen, start.elapsed());
                answers.extend(chosen);
            }
        } else {
            for &asked in asked {
                let chosen = self.rerank(asked, cancel).await;
                answers.push(chosen.map(|chosen| chosen.answer));
            }
        }
        answers
    }

    /// Number of questions whose answers are chosen at a time, limited by memory.
    fn reranked_at_once(&self, asked: &[Conversation<'_, B>]) -> usize {
        let prefixes = asked.iter().map(|asked| asked.picture.prefix.len());
        let Some((prefix, first)) = prefixes.max().zip(asked.first()) else {
            return 1;
        };
        let answer = self.generation.max_new_tokens;
        let context = self.config.llm.max_position_embeddings;
        let row = RowLength {
            prefix,
            question: context.saturating_sub(prefix + answer),
            answer,
        };
        let dtype = first.picture.features.tokens.dtype();
        let cache_type = self.model.llm.cache_type();
        let bytes = answer_bytes(&self.config.llm, row, dtype, cache_type);
        let bytes = bytes.saturating_mul(self.config.candidates.count.max(1) as u64);
        (self.batch_bytes / bytes.max(1)).max(1) as usize
    }

    /// Answers the last question of a conversation, with all masks.
    pub(crate) async fn answered(
        &self,
        asked: Conversation<'_, B>,
        cancel: &Cancel,
    ) -> Result<Answered<B>> {
        if self.reranks(asked) {
            let chosen = self.rerank(asked, cancel).await?;
            return Ok(Answered {
                answer: chosen.answer,
                states: States::Chosen(chosen.question, chosen.tokens),
            });
        }
        let question = self.encode_question(asked)?;
        let (generated, mut answers) = self
            .batch_answers(&[asked], vec![question], &mut unobserved, cancel)
            .await?;
        Ok(Answered {
            answer: answers.remove(0)?,
            states: States::Generated(generated),
        })
    }

    /// Generates answers greedily or by sampling, with all their masks.
    pub(crate) async fn unranked_answers(
        &self,
        asked: &[Conversation<'_, B>],
        observer: &mut dyn Observer,
        cancel: &Cancel,
    ) -> Vec<Result<Answer>> {
        let mut answers: Vec<Option<Result<Answer>>> = Vec::new();
        answers.resize_with(asked.len(), || None);
        let mut batch = Batch::new();
        for (place, &asked) in asked.iter().enumerate() {
            let question = cancel.check().and_then(|()| self.encode_question(asked));
            match question {
                Err(error) => answers[place] = Some(Err(error)),
                Ok(question) => {
                    if !self.has_room(&batch, asked, &question) {
                        let full = std::mem::replace(&mut batch, Batch::new());
                        self.finish(full, &mut answers, observer, cancel).await;
                    }
                    batch.places.push(place);
                    batch.asked.push(asked);
                    batch.questions.push(question);
                }
            }
        }
        self.finish(batch, &mut answers, observer, cancel).await;
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.expect("an answer or an error for every question"))
            .collect()
    }

    /// Returns whether another question can join a batch. Rows of a batch are sampled differently,
    /// so a sampled answer would depend on its row.
    fn has_room(
        &self,
        batch: &Batch<'_, B>,
        asked: Conversation<'_, B>,
        question: &EncodedQuestion<B>,
    ) -> bool {
        let Some(first) = batch.asked.first() else {
            return true;
        };
        if asked.picture.prefix.len() != first.picture.prefix.len() {
            // Pictures of other numbers of tokens.
            return false;
        }
        let questions = batch.questions.iter().chain([question]);
        let longest = questions.map(|question| question.layout.len()).max();
        let row = RowLength {
            prefix: first.picture.prefix.len(),
            question: longest.unwrap_or(0),
            answer: self.generation.max_new_tokens,
        };
        let dtype = first.picture.features.tokens.dtype();
        let rows = batch.questions.len() as u64 + 1;
        let cache_type = self.model.llm.cache_type();
        let bytes = answer_bytes(&self.config.llm, row, dtype, cache_type).saturating_mul(rows);
        self.generation.is_greedy() && bytes <= self.batch_bytes
    }

    /// Answers a batch. An error of the device applies to each of its questions.
    async fn finish(
        &self,
        batch: Batch<'_, B>,
        answers: &mut [Option<Result<Answer>>],
        observer: &mut dyn Observer,
        cancel: &Cancel,
    ) {
        let Batch {
            places,
            asked,
            questions,
        } = batch;
        if places.is_empty() {
            return;
        }
        let observer = &mut Renumbered {
            observer,
            number: |row: usize| places[row],
        };
        match self
            .batch_answers(&asked, questions, observer, cancel)
            .await
        {
            Ok((_, found)) => {
                for (place, answer) in places.into_iter().zip(found) {
                    answers[place] = Some(answer);
                }
            }
            Err(error) => {
                for place in places {
                    answers[place] = Some(Err(error.of_each()));
                }
            }
        }
    }

    /// Runs the last two steps for encoded questions.
    async fn batch_answers(
        &self,
        asked: &[Conversation<'_, B>],
        questions: Vec<EncodedQuestion<B>>,
        observer: &mut dyn Observer,
        cancel: &Cancel,
    ) -> Result<(Generated<B>, Vec<Result<Answer>>)> {
        let generated = self.generate(asked, questions, observer, cancel).await?;
        let answers = self.decode(asked, &generated).await?;
        Ok((generated, answers))
    }
}

/// Shortens the times of answers that were computed at once to the time that passed in all.
fn share_time(answers: &mut [Result<Answer>], passed: Duration) {
    let times = answers.iter().flatten();
    let sum: Duration = times.map(|answer| answer.timing.of_question()).sum();
    if sum > passed {
        let share = passed.as_secs_f64() / sum.as_secs_f64();
        for answer in answers.iter_mut().flatten() {
            answer.timing = answer.timing.shared(share);
        }
    }
}
