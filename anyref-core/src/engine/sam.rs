//! Engine over a standalone SAM: masks for prompts, without words.

use std::ops::ControlFlow;

use burn::tensor::backend::Backend;
use image::RgbImage;

use super::held::Held;
use super::info::EngineInfo;
use super::interface::{Dialogue, Engine, EngineFuture, Request};
use super::picture::EncodedPicture;
use crate::explain::Explanation;
use crate::observer::{Cancel, OnText};
use crate::sam::{
    AutomaticMask, AutomaticMaskConfig, MaskPrediction, MaskPrompt, Multimask, OnPoints,
    automatic_masks,
};
use crate::{Answer, Error, Prompt, Result, SamModel, SamPicture};

/// SAM on a device.
#[derive(Debug)]
pub(super) struct LoadedSam<B: Backend> {
    pub(super) sam: SamModel<B>,
    pub(super) info: EngineInfo,
    pub(super) held: Held,
}

impl<B: Backend> Engine for LoadedSam<B> {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn check(&self) -> Result<()> {
        Ok(self.held.check()?)
    }

    fn encode_async<'a>(
        &'a self,
        images: &'a [&'a RgbImage],
    ) -> EngineFuture<'a, Result<Vec<EncodedPicture>>> {
        let encoded = self.held.watched(async move {
            let pictures = images.iter().map(|image| self.sam.picture(image));
            pictures.collect::<Result<Vec<_>>>()
        });
        Box::pin(async move {
            let pictures = encoded.await??.into_iter();
            let number = self.held.number;
            Ok(pictures
                .map(|one| EncodedPicture::new(one, number))
                .collect())
        })
    }

    fn answer_async<'a>(
        &'a self,
        requests: &'a [Request<'a>],
        _on_text: OnText<'a>,
        _cancel: &'a Cancel,
    ) -> EngineFuture<'a, Vec<Result<Answer>>> {
        let answers = requests.iter().map(|_| Err(Error::NoLanguageModel));
        Box::pin(std::future::ready(answers.collect()))
    }

    fn explain_async<'a>(
        &'a self,
        _picture: &'a EncodedPicture,
        _prompt: &'a Prompt,
        _cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<(Answer, Vec<Explanation>)>> {
        Box::pin(std::future::ready(Err(Error::NoLanguageModel)))
    }

    fn chat_async<'a>(
        &'a self,
        _dialogue: &'a mut Dialogue,
        _prompt: Prompt,
        _on_text: &'a mut (dyn FnMut(&str) -> ControlFlow<()> + Send),
        _cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Answer>> {
        Box::pin(std::future::ready(Err(Error::NoLanguageModel)))
    }

    fn prompt_masks_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompts: &'a [MaskPrompt],
        multimask: Multimask,
    ) -> EngineFuture<'a, Result<Vec<MaskPrediction>>> {
        let predicted = self.held.watched(async move {
            let picture = picture.of::<SamPicture<B>>(self.held.number)?;
            self.sam.predict_async(picture, prompts, multimask).await
        });
        Box::pin(async move { predicted.await? })
    }

    fn automatic_defaults(&self) -> AutomaticMaskConfig {
        self.sam.automatic_defaults()
    }

    fn automatic_masks_async<'a>(
        &'a self,
        image: &'a RgbImage,
        config: &'a AutomaticMaskConfig,
        on_points: OnPoints<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Vec<AutomaticMask>>> {
        let found = self
            .held
            .watched(automatic_masks(&self.sam, image, config, on_points, cancel));
        Box::pin(async move { found.await? })
    }
}
