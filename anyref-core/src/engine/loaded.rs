//! A model on a device as an engine.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use anyref_ops::{DeviceFailure, DeviceWatch, on_processor};
use burn::tensor::backend::Backend;
use image::RgbImage;
use web_time::Instant;

use super::info::{EngineInfo, parts};
use super::interface::{Dialogue, Engine, EngineFuture, Request};
use super::options::EngineOptions;
use super::picture::EncodedPicture;
use crate::backend::OnDevice;

use crate::explain::Explanation;
use crate::observer::{Cancel, OnText};
use crate::{Answer, AnyRef, Prompt, Result};

/// Loads a model onto a device.
///
/// # Errors
/// When the backend does not start, the model is missing or damaged, an option is out of its range,
/// or the device fails meanwhile.
pub fn load_engine(options: &EngineOptions) -> Result<Box<dyn Engine>> {
    options.backend.dispatch(options.device, Load(options))?
}

/// Loading on its way to a backend.
struct Load<'a>(&'a EngineOptions);

impl OnDevice for Load<'_> {
    type Output = Result<Box<dyn Engine>>;

    fn run<B: Backend>(self, device: &B::Device) -> Self::Output {
        let start = Instant::now();
        let options = self.0;
        let watch = (!on_processor::<B>()).then(DeviceWatch::start);
        let load = || -> Result<AnyRef<B>> {
            let mut anyref = options
                .model
                .load(&options.companions, options.weights, device)?;
            options.answers.apply(&mut anyref)?;
            Ok(anyref)
        };
        let anyref = match &watch {
            Some(watch) => watch.run(load)?,
            None => load(),
        }?;
        let info = EngineInfo {
            model: anyref.config.name.clone(),
            backend: options.backend,
            device: B::name(device),
            parts: parts(&anyref.model),
            audio: anyref.sound_preprocessor().cloned(),
            load: start.elapsed(),
        };
        static LOADED: AtomicU64 = AtomicU64::new(0);
        Ok(Box::new(Loaded {
            anyref,
            info,
            number: LOADED.fetch_add(1, Ordering::Relaxed),
            watch,
        }))
    }
}

/// The model, and the watch of its device where it is not the processor.
#[derive(Debug)]
struct Loaded<B: Backend> {
    anyref: AnyRef<B>,
    info: EngineInfo,
    /// Tells this engine's pictures from those of others.
    number: u64,
    watch: Option<DeviceWatch>,
}

impl<B: Backend> Loaded<B> {
    /// A future whose result counts only if the device does not fail meanwhile.
    fn watched<'a, T: 'a>(
        &'a self,
        future: impl Future<Output = T> + Send + 'a,
    ) -> impl Future<Output = Result<T, DeviceFailure>> + Send + 'a {
        let mut future = Box::pin(future);
        poll_fn(move |context| match &self.watch {
            None => future.as_mut().poll(context).map(Ok),
            Some(watch) => {
                let polled = watch
                    .check()
                    .and_then(|()| watch.run(|| future.as_mut().poll(context)));
                match polled {
                    Ok(polled) => polled.map(Ok),
                    Err(failure) => Poll::Ready(Err(failure)),
                }
            }
        })
    }
}

impl<B: Backend> Engine for Loaded<B> {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn check(&self) -> Result<()> {
        match &self.watch {
            Some(watch) => Ok(watch.check()?),
            None => Ok(()),
        }
    }

    fn encode_async<'a>(
        &'a self,
        images: &'a [&'a RgbImage],
    ) -> EngineFuture<'a, Result<Vec<EncodedPicture>>> {
        let encoded = self.watched(async move {
            if let [image] = images {
                return Ok(vec![self.anyref.picture(image)?]);
            }
            let preprocessor = self.anyref.preprocessor();
            let pixels = images.iter().map(|image| preprocessor.process(image));
            let pixels = pixels.collect::<Result<Vec<_>>>()?;
            self.anyref.encode(&pixels.iter().collect::<Vec<_>>())
        });
        Box::pin(async move {
            let pictures = encoded.await??.into_iter();
            let number = self.number;
            Ok(pictures
                .map(|one| EncodedPicture::new(one, number))
                .collect())
        })
    }

    fn answer_async<'a>(
        &'a self,
        requests: &'a [Request<'a>],
        on_text: OnText<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Vec<Result<Answer>>> {
        let answers = self.watched(async move {
            let questions = requests.iter().map(|request| {
                let picture = request.picture.of::<B>(self.number)?;
                Ok((picture, request.prompt, request.goal))
            });
            self.anyref
                .ask_prompts(questions.collect(), on_text, cancel)
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
        let explained = self.watched(async move {
            let picture = picture.of::<B>(self.number)?;
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
        let answered = self.watched(async move {
            let Dialogue { picture, history } = dialogue;
            let picture = picture.of::<B>(self.number)?;
            self.anyref
                .chat_turn(picture, history, prompt, on_text, cancel)
                .await
        });
        Box::pin(async move { answered.await? })
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use std::panic::catch_unwind;
    use std::path::Path;
    use std::thread;

    use burn::backend::Flex;

    use super::*;
    use crate::{Error, ModelSource, Reference};

    /// Panics as a device thread of CubeCL does, which goes on afterwards.
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
                number: u64::MAX,
                watch,
            };
            Box::new(engine) as Box<dyn Engine>
        };
        // The processor has no device thread, so that its engine goes on.
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
        // An engine that is loaded after the failure starts anew.
        load(Some(DeviceWatch::start())).encode(&image).unwrap();
    }
}
