//! Questions asked in batches, with pictures read ahead.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use anyref_core::{Answer, AnyRef, Picture, PicturePixels, Prompt};
use burn::tensor::backend::Backend;

use super::error::Result;
use super::refusal::or_refused;
use super::throughput::Stopwatch;

/// Picture and the questions about it.
#[derive(Debug)]
pub(super) struct Group<T> {
    pub(super) pixels: PicturePixels,
    /// Questions, or the reason why one cannot be asked, each with the caller's data.
    pub(super) questions: Vec<(Result<Prompt, String>, T)>,
}

/// Asker of questions in batches.
#[derive(Debug)]
pub(super) struct QuestionBatches<'a, B: Backend> {
    pub(super) anyref: &'a AnyRef<B>,
    /// Whether regions are described rather than segmented.
    pub(super) describe: bool,
    /// Questions in a batch.
    pub(super) batch: usize,
}

/// Question about an encoded picture.
struct Waiting<B: Backend, T> {
    picture: Rc<Picture<B>>,
    prompt: Result<Prompt, String>,
    belongs: T,
}

impl<B: Backend> QuestionBatches<'_, B> {
    /// Asks all questions and hands each answer, or the reason for its absence, to `each` in the
    /// order of the questions.
    ///
    /// # Errors
    /// Errors of `groups`, of `each`, and of the model unless they concern one question only.
    pub(super) fn ask<T>(
        &self,
        groups: &mut dyn Iterator<Item = Result<Group<T>>>,
        watch: &mut Stopwatch,
        each: &mut dyn FnMut(T, Result<Answer, String>) -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        let (mut waiting, mut failed) = (VecDeque::new(), None);
        loop {
            let (mut groups_read, mut questions) = (Vec::new(), waiting.len());
            while questions < self.batch
                && failed.is_none()
                && let Some(group) = watch.wait(|| groups.next())
            {
                match group {
                    Ok(group) => {
                        questions += group.questions.len();
                        groups_read.push(group);
                    }
                    // Earlier questions are answered first.
                    Err(error) => failed = Some(error),
                }
            }
            waiting.extend(self.encode(groups_read, watch)?);
            if waiting.is_empty() {
                break;
            }
            let batch = waiting.drain(..waiting.len().min(self.batch)).collect();
            self.ask_batch(batch, watch, each)?;
        }
        watch.pass(start);
        failed.map_or(Ok(()), Err)
    }

    /// Encodes the pictures of `groups`.
    fn encode<T>(
        &self,
        groups: Vec<Group<T>>,
        watch: &mut Stopwatch,
    ) -> Result<Vec<Waiting<B, T>>> {
        let pixels: Vec<&PicturePixels> = groups.iter().map(|group| &group.pixels).collect();
        let pictures = self.anyref.encode(&pixels)?;
        let mut waiting = Vec::new();
        for (group, picture) in groups.into_iter().zip(pictures) {
            watch.picture(picture.encoding_time());
            let picture = Rc::new(picture);
            let questions = group.questions.into_iter();
            waiting.extend(questions.map(|(prompt, belongs)| Waiting {
                picture: picture.clone(),
                prompt,
                belongs,
            }));
        }
        Ok(waiting)
    }

    fn ask_batch<T>(
        &self,
        batch: Vec<Waiting<B, T>>,
        watch: &mut Stopwatch,
        each: &mut dyn FnMut(T, Result<Answer, String>) -> Result<()>,
    ) -> Result<()> {
        let asked = batch
            .iter()
            .filter_map(|one| Some((&*one.picture, one.prompt.as_ref().ok()?)));
        let asked: Vec<_> = asked.collect();
        let answers = match self.describe {
            true => self.anyref.describe_all(&asked),
            false => self.anyref.segment_all(&asked),
        };
        let mut answers = answers.into_iter();
        for one in batch {
            let answer = match one.prompt {
                Err(reason) => Err(reason),
                Ok(_) => match answers.next() {
                    Some(answer) => or_refused(answer.map_err(Into::into))?,
                    None => unreachable!("every question has an answer"),
                },
            };
            watch.question(answer.as_ref().ok().map(|answer| &answer.timing));
            each(one.belongs, answer)?;
        }
        Ok(())
    }
}
