//! Facts about an engine.

use std::time::Duration;

use anyref_audio::AudioPreprocessorConfig;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, backend::Backend};

use crate::backend::BackendName;
use crate::model::AnyRefModel;
use crate::{SamForm, SamModel};

/// Name of the language model among the parts.
const LANGUAGE_MODEL: &str = "llm";

/// Name of the mask decoder among the parts.
const MASK_DECODER: &str = "mask_decoder";

/// A part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartInfo {
    /// Name, that of its field in the config.
    pub name: &'static str,
    /// Number of its parameters.
    pub parameters: u64,
    /// Memory of its parameters, in bytes.
    pub bytes: u64,
}

/// A loaded model and the device it is on.
#[derive(Debug, Clone)]
pub struct EngineInfo {
    /// Name of the model, as of its config.
    pub model: String,
    /// The backend.
    pub backend: BackendName,
    /// The backend's own name of its device.
    pub device: String,
    /// The parts that the model has.
    pub parts: Vec<PartInfo>,
    /// Pre-processing of sounds, for a model that hears.
    pub audio: Option<AudioPreprocessorConfig>,
    /// Time that loading took.
    pub load: Duration,
}

impl EngineInfo {
    /// Whether sounds can be asked about.
    pub fn hears(&self) -> bool {
        self.audio.is_some()
    }

    /// Whether questions are answered in words; else it makes masks for points and boxes alone.
    pub fn speaks(&self) -> bool {
        self.parts.iter().any(|part| part.name == LANGUAGE_MODEL)
    }

    /// Whether it makes masks; else it answers in words alone.
    pub fn makes_masks(&self) -> bool {
        self.parts.iter().any(|part| part.name == MASK_DECODER)
    }

    /// Memory of all parameters, in bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// The parts of a model.
pub(super) fn parts<B: Backend>(model: &AnyRefModel<B>) -> Vec<PartInfo> {
    let parts = [
        Some(part("vision_tower", &model.vision_tower)),
        Some(part("mm_projector", &model.mm_projector)),
        optional_part("image_encoder", &model.image_encoder),
        optional_part("audio_encoder", &model.audio_encoder),
        optional_part("audio_projector", &model.audio_projector),
        optional_part("box_projector", &model.box_projector),
        Some(part(LANGUAGE_MODEL, &model.llm)),
        optional_part("text_hidden_fcs", &model.text_hidden_fcs),
        optional_part("prompt_encoder", &model.prompt_encoder),
        optional_part(MASK_DECODER, &model.mask_decoder),
    ];
    parts.into_iter().flatten().collect()
}

/// A part that not every model has.
fn optional_part<B: Backend>(
    name: &'static str,
    module: &Option<impl Module<B>>,
) -> Option<PartInfo> {
    module.as_ref().map(|module| part(name, module))
}

/// The parts of a SAM alone.
pub(super) fn sam_parts<B: Backend>(sam: &SamModel<B>) -> Vec<PartInfo> {
    let (encoder, decoder) = ("image_encoder", MASK_DECODER);
    let [encoder, decoder] = match &sam.form {
        SamForm::Sam(parts) => [
            part(encoder, &parts.image_encoder),
            part(decoder, &parts.mask_decoder),
        ],
        SamForm::Sam2(parts) => [
            part(encoder, &parts.image_encoder),
            part(decoder, &parts.mask_decoder),
        ],
    };
    vec![
        encoder,
        part("prompt_encoder", &sam.prompt_encoder),
        decoder,
    ]
}

fn part<B: Backend>(name: &'static str, module: &impl Module<B>) -> PartInfo {
    struct Size(u64);

    impl<B: Backend> ModuleVisitor<B> for Size {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
            let values = param.val();
            self.0 += (values.shape().num_elements() * values.dtype().size()) as u64;
        }
    }

    let mut size = Size(0);
    module.visit(&mut size);
    PartInfo {
        name,
        parameters: module.num_params() as u64,
        bytes: size.0,
    }
}
