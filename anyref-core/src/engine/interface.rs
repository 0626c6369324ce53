//! Interface of engines.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::pin::Pin;

use burn::tensor::read_sync;
use image::RgbImage;

use super::info::EngineInfo;
use super::picture::EncodedPicture;
use crate::conversation::{Goal, History};
use crate::explain::Explanation;
use crate::observer::{Cancel, Observer, OnText, unobserved};
use crate::sam::{
    AutomaticMask, AutomaticMaskConfig, MaskPrediction, MaskPrompt, Multimask, OnPoints,
};
use crate::{Answer, Prompt, Result};

/// Future result, which can be awaited on any thread. Dropping it stops the computation.
pub type EngineFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Question about a picture.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Picture, encoded by the engine that is asked.
    pub picture: &'a EncodedPicture,
    /// Question and references.
    pub prompt: &'a Prompt,
    /// Purpose of the question. A [`Goal::Chat`] is a first turn, which is not remembered.
    pub goal: Goal,
}

/// Conversation about a picture.
#[derive(Debug, Clone)]
pub struct Dialogue {
    pub(super) picture: EncodedPicture,
    pub(super) history: History,
}

impl Dialogue {
    /// Creates an empty conversation.
    pub fn new(picture: EncodedPicture) -> Self {
        Self {
            picture,
            history: History::default(),
        }
    }

    /// Picture of the conversation.
    pub fn picture(&self) -> &EncodedPicture {
        &self.picture
    }

    /// Answered turns.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Forgets all questions and answers.
    pub fn clear(&mut self) {
        self.history.clear();
    }
}

/// Model on a device, created by [`load_engine`](crate::load_engine) and kept alive until it is
/// dropped. Calls from several threads run concurrently, each with its own memory.
///
/// The methods of the trait await the device without blocking. `dyn Engine` has blocking
/// counterparts without `_async` in their names, for programs outside browsers.
///
/// After a thread of the device panicked, every call returns
/// [`Error::Device`](crate::Error::Device), and a new engine has to be loaded.
pub trait Engine: Debug + Send + Sync {
    /// Model and device of the engine.
    fn info(&self) -> &EngineInfo;

    /// Checks that the device has not failed so far.
    ///
    /// # Errors
    /// When a thread of the device panicked.
    fn check(&self) -> Result<()>;

    /// Encodes pictures, in batches limited by memory.
    ///
    /// # Errors
    /// When a picture has no pixels, or the device fails.
    fn encode_async<'a>(
        &'a self,
        images: &'a [&'a RgbImage],
    ) -> EngineFuture<'a, Result<Vec<EncodedPicture>>>;

    /// Answers questions, in batches limited by memory. `on_text` receives the number of a question
    /// and a piece of its answer as it is generated, except for answers that are chosen among
    /// several.
    ///
    /// # Errors
    /// An invalid question has its error in its place and does not affect the others. After
    /// cancelling, unanswered questions have [`Error::Cancelled`](crate::Error::Cancelled).
    fn answer_async<'a>(
        &'a self,
        requests: &'a [Request<'a>],
        on_text: OnText<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Vec<Result<Answer>>>;

    /// Answers questions like [`answer_async`](Self::answer_async), with an observer that may want
    /// masks as soon as they are known. An engine that cannot tell them gives it the text alone.
    ///
    /// # Errors
    /// See [`answer_async`](Self::answer_async).
    fn answer_observed_async<'a>(
        &'a self,
        requests: &'a [Request<'a>],
        observer: &'a mut dyn Observer,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Vec<Result<Answer>>> {
        Box::pin(async move {
            let on_text: OnText<'_> = &mut |question, piece| observer.text(question, piece);
            self.answer_async(requests, on_text, cancel).await
        })
    }

    /// Answers with masks, and with the attention of each `<obj>` of the answer.
    ///
    /// # Errors
    /// When the call is cancelled; also see [`AnyRef::segment`](crate::AnyRef::segment).
    fn explain_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompt: &'a Prompt,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<(Answer, Vec<Explanation>)>>;

    /// Answers the next turn of a dialogue and appends it; `on_text` receives the answer in pieces.
    ///
    /// # Errors
    /// When the call is cancelled; also see [`Chat::ask`](crate::Chat::ask). The dialogue is then
    /// unchanged.
    fn chat_async<'a>(
        &'a self,
        dialogue: &'a mut Dialogue,
        prompt: Prompt,
        on_text: &'a mut (dyn FnMut(&str) -> ControlFlow<()> + Send),
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Answer>>;

    /// Answers the next turn like [`chat_async`](Self::chat_async), with an observer that may want
    /// masks as soon as they are known; the number of the question is 0.
    ///
    /// # Errors
    /// See [`chat_async`](Self::chat_async).
    fn chat_observed_async<'a>(
        &'a self,
        dialogue: &'a mut Dialogue,
        prompt: Prompt,
        observer: &'a mut dyn Observer,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Answer>> {
        Box::pin(async move {
            let on_text = &mut |piece: &str| observer.text(0, piece);
            self.chat_async(dialogue, prompt, on_text, cancel).await
        })
    }

    /// Predicts masks for points, boxes and earlier masks in a picture, by the model's own SAM. The
    /// SAM of a whole model was trained for one mask per prompt, so [`Multimask::WhereAmbiguous`]
    /// gives one.
    ///
    /// # Errors
    /// When the picture belongs to another engine; also see
    /// [`SamModel::predict`](crate::SamModel::predict).
    fn prompt_masks_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompts: &'a [MaskPrompt],
        multimask: Multimask,
    ) -> EngineFuture<'a, Result<Vec<MaskPrediction>>>;

    /// Automatic mask settings of the authors of the model's SAM.
    fn automatic_defaults(&self) -> AutomaticMaskConfig {
        AutomaticMaskConfig::new()
    }

    /// Predicts every mask of a picture, by the model's own SAM; in a whole model by one mask for
    /// each point. `on_points` receives the number of finished points and their total.
    ///
    /// # Errors
    /// See [`automatic_masks`](crate::automatic_masks).
    fn automatic_masks_async<'a>(
        &'a self,
        image: &'a RgbImage,
        config: &'a AutomaticMaskConfig,
        on_points: OnPoints<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Vec<AutomaticMask>>>;
}

impl dyn Engine + '_ {
    /// Encodes a picture.
    ///
    /// # Errors
    /// See [`encode_async`](Engine::encode_async).
    pub fn encode(&self, image: &RgbImage) -> Result<EncodedPicture> {
        Ok(read_sync(self.encode_async(&[image]))?.remove(0))
    }

    /// Answers questions.
    ///
    /// # Errors
    /// See [`answer_async`](Engine::answer_async).
    pub fn answer(&self, requests: &[Request<'_>]) -> Vec<Result<Answer>> {
        read_sync(self.answer_async(requests, &mut unobserved, &Cancel::new()))
    }

    /// Segments the objects that the prompt refers to.
    ///
    /// # Errors
    /// See [`AnyRef::segment`](crate::AnyRef::segment).
    pub fn segment(&self, picture: &EncodedPicture, prompt: &Prompt) -> Result<Answer> {
        self.ask(picture, prompt, Goal::Segment)
    }

    /// Describes the objects that the prompt refers to.
    ///
    /// # Errors
    /// See [`AnyRef::describe`](crate::AnyRef::describe).
    pub fn describe(&self, picture: &EncodedPicture, prompt: &Prompt) -> Result<Answer> {
        self.ask(picture, prompt, Goal::Describe)
    }

    /// Segments the objects that the prompt refers to, and explains the attention of each `<obj>`
    /// of the answer.
    ///
    /// # Errors
    /// See [`AnyRef::segment`](crate::AnyRef::segment).
    pub fn explain(
        &self,
        picture: &EncodedPicture,
        prompt: &Prompt,
    ) -> Result<(Answer, Vec<Explanation>)> {
        read_sync(self.explain_async(picture, prompt, &Cancel::new()))
    }

    /// Answers the next turn of a dialogue.
    ///
    /// # Errors
    /// See [`chat_async`](Engine::chat_async).
    pub fn chat(
        &self,
        dialogue: &mut Dialogue,
        prompt: Prompt,
        on_text: &mut (dyn FnMut(&str) -> ControlFlow<()> + Send),
    ) -> Result<Answer> {
        read_sync(self.chat_async(dialogue, prompt, on_text, &Cancel::new()))
    }

    /// Predicts masks for points, boxes and earlier masks in a picture.
    ///
    /// # Errors
    /// See [`prompt_masks_async`](Engine::prompt_masks_async).
    pub fn prompt_masks(
        &self,
        picture: &EncodedPicture,
        prompts: &[MaskPrompt],
        multimask: Multimask,
    ) -> Result<Vec<MaskPrediction>> {
        read_sync(self.prompt_masks_async(picture, prompts, multimask))
    }

    /// Predicts every mask of a picture.
    ///
    /// # Errors
    /// See [`automatic_masks_async`](Engine::automatic_masks_async).
    pub fn automatic_masks(
        &self,
        image: &RgbImage,
        config: &AutomaticMaskConfig,
        on_points: OnPoints<'_>,
    ) -> Result<Vec<AutomaticMask>> {
        read_sync(self.automatic_masks_async(image, config, on_points, &Cancel::new()))
    }

    fn ask(&self, picture: &EncodedPicture, prompt: &Prompt, goal: Goal) -> Result<Answer> {
        let request = Request {
            picture,
            prompt,
            goal,
        };
        self.answer(&[request]).remove(0)
    }
}
