//! Public functions of AnyRef: from pictures and prompts to sentences and masks.

use burn::tensor::{backend::Backend, read_sync};
use image::RgbImage;
use web_time::Instant;

use crate::answering::{Answered, States};
use crate::anyref::AnyRef;
use crate::conversation::{Conversation, Goal, Turn};
use crate::explain::{Explanation, explain};
use crate::observer::{Cancel, Observer, Renumbered, unobserved};
use crate::picture::Picture;
use crate::preprocess::{PicturePixels, PicturePreprocessor};
use crate::{Answer, Chat, Error, Prompt, Result};

impl<B: Backend> AnyRef<B> {
    /// Preprocessor of pictures for [`encode`](Self::encode), usable on any thread.
    pub fn preprocessor(&self) -> PicturePreprocessor {
        PicturePreprocessor::new(&self.config)
    }

    /// Encodes a picture, once for all questions about it.
    ///
    /// # Errors
    /// When the picture has no pixels, or the tokenizer fails.
    pub fn picture(&self, image: &RgbImage) -> Result<Picture<B>> {
        let start = Instant::now();
        let pixels = self.preprocessor().process(image)?;
        let mut picture = self.encode(&[&pixels])?.remove(0);
        picture.encoding = start.elapsed();
        Ok(picture)
    }

    /// Encodes several preprocessed pictures like [`picture`](Self::picture). Each has an equal
    /// share of the total time.
    ///
    /// # Errors
    /// When the tokenizer fails.
    ///
    /// # Panics
    /// When a picture was preprocessed for a model of other sizes.
    pub fn encode(&self, pictures: &[&PicturePixels]) -> Result<Vec<Picture<B>>> {
        self.encode_pictures(pictures)
    }

    /// Segments the objects that the prompt refers to, with the sentence that names them.
    ///
    /// # Errors
    /// When the prompt is empty, does not fit the context or has an invalid reference, when the
    /// model makes no masks, or when the device fails.
    pub fn segment(&self, picture: &Picture<B>, prompt: &Prompt) -> Result<Answer> {
        read_sync(self.segment_async(picture, prompt))
    }

    /// Asynchronous form of [`segment`](Self::segment).
    ///
    /// # Errors
    /// See [`segment`](Self::segment).
    pub async fn segment_async(&self, picture: &Picture<B>, prompt: &Prompt) -> Result<Answer> {
        let questions = [(picture, prompt)];
        let mut answers = self.ask_all(&questions, Goal::Segment).await;
        answers.remove(0)
    }

    /// Generates the referring expression of a box (or of any reference). Several answers
    /// ([`AnyRefConfig::candidates`](crate::AnyRefConfig::candidates)) are tried for the default
    /// question alone, since the answer to a custom question may not be an expression.
    ///
    /// # Errors
    /// See [`segment`](Self::segment).
    pub fn describe(&self, picture: &Picture<B>, prompt: &Prompt) -> Result<Answer> {
        read_sync(self.describe_async(picture, prompt))
    }

    /// Asynchronous form of [`describe`](Self::describe).
    ///
    /// # Errors
    /// See [`segment`](Self::segment).
    pub async fn describe_async(&self, picture: &Picture<B>, prompt: &Prompt) -> Result<Answer> {
        let questions = [(picture, prompt)];
        let mut answers = self.ask_all(&questions, Goal::Describe).await;
        answers.remove(0)
    }

    /// Answers several questions like [`segment`](Self::segment), about one picture or several.
    /// Answers are generated in batches limited by [`batch_bytes`](Self::batch_bytes), and the
    /// masks of a batch are decoded together. Answers equal those of single calls; sampled ones,
    /// and those chosen among several, are generated each by itself. The time of joint steps is
    /// shared equally.
    ///
    /// # Errors
    /// An invalid question has its error in its place, see [`segment`](Self::segment), and does not
    /// affect the others.
    pub fn segment_all(&self, questions: &[(&Picture<B>, &Prompt)]) -> Vec<Result<Answer>> {
        read_sync(self.segment_all_async(questions))
    }

    /// Asynchronous form of [`segment_all`](Self::segment_all).
    ///
    /// # Errors
    /// See [`segment_all`](Self::segment_all).
    pub async fn segment_all_async(
        &self,
        questions: &[(&Picture<B>, &Prompt)],
    ) -> Vec<Result<Answer>> {
        self.ask_all(questions, Goal::Segment).await
    }

    /// Answers several questions like [`describe`](Self::describe).
    ///
    /// # Errors
    /// See [`segment_all`](Self::segment_all).
    pub fn describe_all(&self, questions: &[(&Picture<B>, &Prompt)]) -> Vec<Result<Answer>> {
        read_sync(self.describe_all_async(questions))
    }

    /// Asynchronous form of [`describe_all`](Self::describe_all).
    ///
    /// # Errors
    /// See [`segment_all`](Self::segment_all).
    pub async fn describe_all_async(
        &self,
        questions: &[(&Picture<B>, &Prompt)],
    ) -> Vec<Result<Answer>> {
        self.ask_all(questions, Goal::Describe).await
    }

    /// Segments like [`segment`](Self::segment), and returns the attention of each `<obj>` of the
    /// answer.
    ///
    /// # Errors
    /// See [`segment`](Self::segment).
    pub fn explain(
        &self,
        picture: &Picture<B>,
        prompt: &Prompt,
    ) -> Result<(Answer, Vec<Explanation>)> {
        read_sync(self.explain_async(picture, prompt, &Cancel::new()))
    }

    /// Asynchronous form of [`explain`](Self::explain).
    ///
    /// # Errors
    /// When the call is cancelled; also see [`segment`](Self::segment).
    pub async fn explain_async(
        &self,
        picture: &Picture<B>,
        prompt: &Prompt,
        cancel: &Cancel,
    ) -> Result<(Answer, Vec<Explanation>)> {
        if !self.config.makes_masks() {
            return Err(Error::NoMasks);
        }
        let (prompt, bridges) = self.in_words(picture, prompt, cancel).await?;
        let turns = [Turn::new(prompt, Goal::Segment, &self.config.prompts)?];
        let asked = Conversation {
            picture,
            turns: &turns,
            goal: Goal::Segment,
        };
        let Answered { mut answer, states } = self.answered(asked, cancel).await?;
        let generated = match states {
            States::Generated(generated) => generated,
            States::Chosen(question, tokens) => self.read_answers(&question, &[tokens]),
        };
        let explanations = explain(self, picture, &generated, &answer.masks).await?;
        answer.bridges = bridges;
        let answer = self.device_checked(Ok(answer))?;
        Ok((self.without_doubtful(answer), explanations))
    }

    /// Starts a conversation about the picture.
    pub fn chat<'a>(&'a self, picture: &'a Picture<B>) -> Chat<'a, B> {
        Chat::new(self, picture)
    }

    async fn ask_all(
        &self,
        questions: &[(&Picture<B>, &Prompt)],
        goal: Goal,
    ) -> Vec<Result<Answer>> {
        let questions = questions
            .iter()
            .map(|(picture, prompt)| Ok((*picture, *prompt, goal)));
        self.ask_prompts(questions.collect(), &mut unobserved, &Cancel::new())
            .await
    }

    /// Answers prompts about pictures; an invalid question has its error in its place. Prompts with
    /// references to be bridged are answered one by one.
    pub(crate) async fn ask_prompts(
        &self,
        questions: Vec<Result<(&Picture<B>, &Prompt, Goal)>>,
        observer: &mut dyn Observer,
        cancel: &Cancel,
    ) -> Vec<Result<Answer>> {
        let (mut places, mut turns, mut bridged) = (Vec::new(), Vec::new(), Vec::new());
        let mut answers: Vec<Option<Result<Answer>>> = Vec::with_capacity(questions.len());
        for (place, question) in questions.into_iter().enumerate() {
            let turn = match question {
                Ok((_, _, Goal::Segment)) if !self.config.makes_masks() => Err(Error::NoMasks),
                Ok((picture, prompt, goal)) if self.bridges(prompt, goal) => {
                    bridged.push((place, picture, prompt, goal));
                    answers.push(None);
                    continue;
                }
                Ok((picture, prompt, goal)) => {
                    let turn = Turn::new(prompt.clone(), goal, &self.config.prompts);
                    turn.map(|turn| (picture, turn, goal))
                }
                Err(error) => Err(error),
            };
            answers.push(match turn {
                Ok(turn) => {
                    places.push(place);
                    turns.push(turn);
                    None
                }
                Err(error) => Some(Err(error)),
            });
        }
        let asked = turns.iter().map(|(picture, turn, goal)| Conversation {
            picture,
            turns: std::slice::from_ref(turn),
            goal: *goal,
        });
        let asked: Vec<_> = asked.collect();
        let in_place = &mut Renumbered {
            observer: &mut *observer,
            number: |row: usize| places[row],
        };
        let answered = self.answers(&asked, in_place, cancel).await;
        for (&place, answer) in places.iter().zip(answered) {
            answers[place] = Some(answer);
        }
        for (place, picture, prompt, goal) in bridged {
            let in_place = &mut Renumbered {
                observer: &mut *observer,
                number: |_: usize| place,
            };
            let answer = self.bridged_answer(picture, prompt, goal, in_place, cancel);
            answers[place] = Some(answer.await);
        }
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.expect("an answer to every question"))
            .collect()
    }
}
