//! Loading of engines.

use burn::tensor::backend::Backend;
use web_time::Instant;

use super::held::Held;
use super::info::{EngineInfo, parts, sam_parts};
use super::interface::Engine;
use super::loaded::Loaded;
use super::options::{EngineOptions, ModelSource};
use super::sam::LoadedSam;
use crate::backend::OnDevice;
use crate::model_place::ModelPlace;
use crate::{AnyRef, Result, SamModel};

/// Loads a model onto a device.
///
/// # Errors
/// When the backend does not start, the model is missing or damaged, an option is out of range, or
/// the device fails meanwhile.
pub fn load_engine(options: &EngineOptions) -> Result<Box<dyn Engine>> {
    options.backend.dispatch(options.device, Load(options))?
}

/// Loading task, dispatched to a backend.
struct Load<'a>(&'a EngineOptions);

/// Model of either kind.
enum Model<B: Backend> {
    AnyRef(Box<AnyRef<B>>),
    Sam(Box<SamModel<B>>),
}

impl Load<'_> {
    fn model<B: Backend>(&self, device: &B::Device) -> Result<Model<B>> {
        let options = self.0;
        let model = options.model.opened()?;
        let weights = options.weights.clone();
        if let ModelSource::Place(ModelPlace::Sam(published)) = &*model {
            let sam = SamModel::of_published(published, weights, device)?;
            return Ok(Model::Sam(Box::new(sam)));
        }
        let mut anyref = model.load(&options.companions, weights, device)?;
        options.answers.apply(&mut anyref)?;
        Ok(Model::AnyRef(Box::new(anyref)))
    }
}

impl OnDevice for Load<'_> {
    type Output = Result<Box<dyn Engine>>;

    fn run<B: Backend>(self, device: &B::Device) -> Self::Output {
        let start = Instant::now();
        let held = Held::start::<B>();
        let model = held.run(|| self.model::<B>(device))??;
        let info = |model, parts, audio| EngineInfo {
            model,
            backend: self.0.backend,
            device: B::name(device),
            parts,
            audio,
            load: start.elapsed(),
        };
        Ok(match model {
            Model::AnyRef(anyref) => {
                let audio = anyref.sound_preprocessor().cloned();
                let name = anyref.config.name.clone();
                Box::new(Loaded {
                    info: info(name, parts(&anyref.model), audio),
                    anyref: *anyref,
                    held,
                })
            }
            Model::Sam(sam) => Box::new(LoadedSam {
                info: info(sam.name().to_owned(), sam_parts(&sam), None),
                sam: *sam,
                held,
            }),
        })
    }
}
