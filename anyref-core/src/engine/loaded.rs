//! Engine over a model with a language model.

use std::ops::ControlFlow;

use anyref_ops::each_within_pool;
use burn::tensor::backend::Backend;
use image::RgbImage;

use super::held::Held;
use super::info::EngineInfo;
use super::interface::{Dialogue, Engine, EngineFuture, Request};
use super::picture::EncodedPicture;
use crate::explain::Explanation;
use crate::observer::{Cancel, Observer, OnText};
use crate::sam::{
    AutomaticMask, AutomaticMaskConfig, MaskPrediction, MaskPrompt, Multimask, OnPoints, OneMask,
    automatic_masks,
};
use crate::{Answer, AnyRef, Error, Picture, Prompt, Result};

/// Model with a language model, on a device.
#[derive(Debug)]
pub(super) struct Loaded<B: Backend> {
    pub(super) anyref: AnyRef<B>,
    pub(super) info: EngineInfo,
    pub(super) held: Held,
}

impl<B: Backend> Engine for Loaded<B> {
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
            if let [image] = images {
                return Ok(vec![self.anyref.picture(image)?]);
            }
            let preprocessor = self.anyref.preprocessor();
            let process = |image: &&RgbImage| preprocessor.process(image);
            let pixels = each_within_pool::<B, _, _>(images, process).into_iter();
            let pixels = pixels.collect::<Result<Vec<_>>>()?;
            self.anyref.encode(&pixels.iter().collect::<Vec<_>>())
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
        mut on_text: OnText<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Vec<Result<Answer>>> {
        Box::pin(async move {
            let observer = &mut on_text;
            self.answer_observed_async(requests, observer, cancel).await
        })
    }

    fn answer_observed_async<'a>(
        &'a self,
        requests: &'a [Request<'a>],
        observer: &'a mut dyn Observer,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Vec<Result<Answer>>> {
        let answers = self.held.watched(async move {
            let questions = requests.iter().map(|request| {
                let picture = request.picture.of::<Picture<B>>(self.held.number)?;
                Ok((picture, request.prompt, request.goal))
            });
            self.anyref
                .ask_prompts(questions.collect(), observer, cancel)
                .await
        });
        Box::pin(async move {
            match answers.await {
                Ok(answers) => answers,
                Err(failure) => requests
                    .iter()
                    .map(|_| Err(failure.clone().into()))
                    .collect(),
            }
        })
    }

    fn explain_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompt: &'a Prompt,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<(Answer, Vec<Explanation>)>> {
        let explained = self.held.watched(async move {
            let picture = picture.of::<Picture<B>>(self.held.number)?;
            self.anyref.explain_async(picture, prompt, cancel).await
        });
        Box::pin(async move { explained.await? })
    }

    fn chat_async<'a>(
        &'a self,
        dialogue: &'a mut Dialogue,
        prompt: Prompt,
        on_text: &'a mut (dyn FnMut(&str) -> ControlFlow<()> + Send),
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Answer>> {
        Box::pin(async move {
            let observer = &mut |_: usize, piece: &str| on_text(piece);
            self.chat_observed_async(dialogue, prompt, observer, cancel)
                .await
        })
    }

    fn chat_observed_async<'a>(
        &'a self,
        dialogue: &'a mut Dialogue,
        prompt: Prompt,
        observer: &'a mut dyn Observer,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Answer>> {
        let answered = self.held.watched(async move {
            let Dialogue { picture, history } = dialogue;
            let picture = picture.of::<Picture<B>>(self.held.number)?;
            self.anyref
                .chat_turn(picture, history, prompt, observer, cancel)
                .await
        });
        Box::pin(async move { answered.await? })
    }

    fn prompt_masks_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompts: &'a [MaskPrompt],
        multimask: Multimask,
    ) -> EngineFuture<'a, Result<Vec<MaskPrediction>>> {
        let predicted = self.held.watched(async move {
            let picture = picture.of::<Picture<B>>(self.held.number)?.sam()?;
            let sam = self.anyref.sam().ok_or(Error::NoMasks)?;
            // The decoder of a whole model was trained for one mask per prompt.
            let multimask = match multimask {
                Multimask::WhereAmbiguous => Multimask::Never,
                asked => asked,
            };
            sam.predict_async(picture, prompts, multimask).await
        });
        Box::pin(async move { predicted.await? })
    }

    fn automatic_masks_async<'a>(
        &'a self,
        image: &'a RgbImage,
        config: &'a AutomaticMaskConfig,
        on_points: OnPoints<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Vec<AutomaticMask>>> {
        let found = self.held.watched(async move {
            let sam = OneMask(self.anyref.sam().ok_or(Error::NoMasks)?);
            automatic_masks(&sam, image, config, on_points, cancel).await
        });
        Box::pin(async move { found.await? })
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use std::panic::catch_unwind;
    use std::path::Path;
    use std::thread;

    use anyref_ops::DeviceWatch;
    use burn::backend::Flex;

    use super::*;
    use crate::{EngineOptions, ModelSource, Reference};

    /// Panics like a device thread of CubeCL, which then carries on.
    fn fail_device() {
        let thread = thread::Builder::new().name("DSU-0-0".into());
        let caught = thread.spawn(|| catch_unwind(|| panic!("a kernel does not compile")));
        assert!(caught.unwrap().join().unwrap().is_err());
    }

    #[test]
    fn a_failed_device_fails_every_later_call() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/nano");
        let options = EngineOptions::new(ModelSource::Path(folder));
        let load = |watch| {
            let anyref = AnyRef::<Flex>::load(
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("../assets/nano")
                    .as_path(),
                &Default::default(),
            );
            let info = crate::load_engine(&options).unwrap().info().clone();
            let anyref = anyref.unwrap();
            let engine = Loaded {
                anyref,
                info,
                held: Held {
                    number: u64::MAX,
                    watch,
                },
            };
            Box::new(engine) as Box<dyn Engine>
        };
        // The processor has no device thread, so its engine keeps working.
        let (gpu, processor) = (load(Some(DeviceWatch::start())), load(None));
        let image = RgbImage::new(40, 30);
        let prompt = Prompt::new([Reference::Text("the tiger".into())]);
        let picture = gpu.encode(&image).unwrap();
        gpu.segment(&picture, &prompt).unwrap();
        fail_device();
        let failed = |error: Error| {
            let line = error.to_string();
            assert!(matches!(error, Error::Device(_)), "{line}");
            assert!(line.contains("a kernel does not compile"), "{line}");
            assert!(!line.contains('\n'), "{line}");
        };
        failed(gpu.check().unwrap_err());
        failed(gpu.segment(&picture, &prompt).unwrap_err());
        failed(gpu.encode(&image).unwrap_err());
        failed(gpu.explain(&picture, &prompt).unwrap_err());
        let mut dialogue = Dialogue::new(picture);
        let mut go_on = |_: &str| ControlFlow::Continue(());
        failed(
            gpu.chat(&mut dialogue, prompt.clone(), &mut go_on)
                .unwrap_err(),
        );
        let picture = processor.encode(&image).unwrap();
        processor.segment(&picture, &prompt).unwrap();
        // An engine loaded after the failure works again.
        load(Some(DeviceWatch::start())).encode(&image).unwrap();
    }
}
