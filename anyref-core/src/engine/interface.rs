//! The interface of engines.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::pin::Pin;

use burn::tensor::read_sync;
use image::RgbImage;

use super::info::EngineInfo;
use super::picture::EncodedPicture;
use crate::conversation::{Goal, History};
use crate::explain::Explanation;
use crate::observer::{Cancel, OnText, unobserved};
use crate::sam::{
    AutomaticMask, AutomaticMaskConfig, MaskPrediction, MaskPrompt, Multimask, OnPoints,
};
use crate::{Answer, Prompt, Result};

/// A result to come, from any thread. Dropped, it computes no further.
pub type EngineFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A question about a picture.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The picture, of the engine that is asked.
    pub picture: &'a EncodedPicture,
    /// The question.
    pub prompt: &'a Prompt,
    /// Its purpose. A [`Goal::Chat`] is a first turn, of which nothing is remembered.
    pub goal: Goal,
}

/// A conversation about a picture.
#[derive(Debug, Clone)]
pub struct Dialogue {
    pub(super) picture: EncodedPicture,
    pub(super) history: History,
}

impl Dialogue {
    /// A conversation in which nothing was asked yet.
    pub fn new(picture: EncodedPicture) -> Self {
        Self {
            picture,
            history: History::default(),
        }
    }

    /// The picture.
    pub fn picture(&self) -> &EncodedPicture {
        &self.picture
    }

    /// The turns that were answered.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Forgets everything asked and answered before.
    pub fn clear(&mut self) {
        self.history.clear();
    }
}

/// A model on a device, created by [`load_engine`](crate::load_engine) and kept alive until it is
/// dropped. Calls of several threads run at the same time, each with memory of its own.
///
/// The methods of the trait wait for the device without blocking. `dyn Engine` has the same without
/// `_async` in their names, which block, for programs outside of a browser.
///
/// Once a thread of the device panicked, every call is an
/// [`Error::Device`](crate::Error::Device); another engine has to be loaded.
pub trait Engine: Debug + Send + Sync {
    /// The model and its device.
    fn info(&self) -> &EngineInfo;

    /// Whether the device has computed without a failure so far.
    ///
    /// # Errors
    /// When a thread of the device panicked.
    fn check(&self) -> Result<()>;

    /// Encodes pictures, as many together as their memory allows.
    ///
    /// # Errors
    /// When a picture has no pixels, or the device fails.
    fn encode_async<'a>(
        &'a self,
        images: &'a [&'a RgbImage],
    ) -> EngineFuture<'a, Result<Vec<EncodedPicture>>>;

    /// Answers questions, as many together as their memory allows. `on_text` is given the number of
    /// a question and a piece of its answer as it is generated; answers that are chosen among
    /// several are not given in pieces.
    ///
    /// # Errors
    /// A question that cannot be asked has its error in its place and leaves the others alone.
    /// Cancelled, questions that are not answered yet have
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    fn answer_async<'a>(
        &'a self,
        requests: &'a [Request<'a>],
        on_text: OnText<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Vec<Result<Answer>>>;

    /// Answers with masks, and with the attention of each `<obj>` of the answer.
    ///
    /// # Errors
    /// As [`AnyRef::segment`](crate::AnyRef::segment), and when it is cancelled.
    fn explain_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompt: &'a Prompt,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<(Answer, Vec<Explanation>)>>;

    /// Answers the next turn of a dialogue and remembers it; `on_text` is given the answer piece by
    /// piece.
    ///
    /// # Errors
    /// As [`Chat::ask`](crate::Chat::ask), and when it is cancelled; the dialogue is then as
    /// before.
    fn chat_async<'a>(
        &'a self,
        dialogue: &'a mut Dialogue,
        prompt: Prompt,
        on_text: &'a mut (dyn FnMut(&str) -> ControlFlow<()> + Send),
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Answer>>;

    /// Masks for points, boxes and earlier masks in a picture, by the model's own SAM. One in a
    /// whole model learned to give one mask a prompt, so that
    /// [`Multimask::WhereAmbiguous`] asks it for one.
    ///
    /// # Errors
    /// As [`SamModel::predict`](crate::SamModel::predict), and when the picture is another
    /// engine's.
    fn prompt_masks_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompts: &'a [MaskPrompt],
        multimask: Multimask,
    ) -> EngineFuture<'a, Result<Vec<MaskPrediction>>>;

    /// Settings of automatic masks that the authors of the model's SAM use.
    fn automatic_defaults(&self) -> AutomaticMaskConfig {
        AutomaticMaskConfig::new()
    }

    /// Every mask of a picture, by the model's own SAM, of one in a whole model by one mask a
    /// point; `on_points` is told how many points of how many were asked.
    ///
    /// # Errors
    /// As [`automatic_masks`](crate::automatic_masks).
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
    /// As [`encode_async`](Engine::encode_async).
    pub fn encode(&self, image: &RgbImage) -> Result<EncodedPicture> {
        Ok(read_sync(self.encode_async(&[image]))?.remove(0))
    }

    /// Answers questions.
    ///
    /// # Errors
    /// As [`answer_async`](Engine::answer_async).
    pub fn answer(&self, requests: &[Request<'_>]) -> Vec<Result<Answer>> {
        read_sync(self.answer_async(requests, &mut unobserved, &Cancel::new()))
    }

    /// Masks of what the prompt refers to.
    ///
    /// # Errors
    /// As [`AnyRef::segment`](crate::AnyRef::segment).
    pub fn segment(&self, picture: &EncodedPicture, prompt: &Prompt) -> Result<Answer> {
        self.ask(picture, prompt, Goal::Segment)
    }

    /// Words for what the prompt refers to.
    ///
    /// # Errors
    /// As [`AnyRef::describe`](crate::AnyRef::describe).
    pub fn describe(&self, picture: &EncodedPicture, prompt: &Prompt) -> Result<Answer> {
        self.ask(picture, prompt, Goal::Describe)
    }

    /// Masks of what the prompt refers to, and what each `<obj>` of the answer looked at.
    ///
    /// # Errors
    /// As [`AnyRef::segment`](crate::AnyRef::segment).
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
    /// As [`chat_async`](Engine::chat_async).
    pub fn chat(
        &self,
        dialogue: &mut Dialogue,
        prompt: Prompt,
        on_text: &mut (dyn FnMut(&str) -> ControlFlow<()> + Send),
    ) -> Result<Answer> {
        read_sync(self.chat_async(dialogue, prompt, on_text, &Cancel::new()))
    }

    /// Masks for points, boxes and earlier masks in a picture.
    ///
    /// # Errors
    /// As [`prompt_masks_async`](Engine::prompt_masks_async).
    pub fn prompt_masks(
        &self,
        picture: &EncodedPicture,
        prompts: &[MaskPrompt],
        multimask: Multimask,
    ) -> Result<Vec<MaskPrediction>> {
        read_sync(self.prompt_masks_async(picture, prompts, multimask))
    }

    /// Every mask of a picture.
    ///
    /// # Errors
    /// As [`automatic_masks_async`](Engine::automatic_masks_async).
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
