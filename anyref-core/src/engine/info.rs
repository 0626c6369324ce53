//! Properties of an engine.

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

/// Part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartInfo {
    /// Name, which is that of its field in the config.
    pub name: &'static str,
    /// Number of parameters.
    pub parameters: u64,
    /// Memory of the parameters in bytes.
    pub bytes: u64,
}

/// Loaded model and its device.
#[derive(Debug, Clone)]
pub struct EngineInfo {
    /// Name of the model in its config.
    pub model: String,
    /// Backend.
    pub backend: BackendName,
    /// Name of the device given by the backend.
    pub device: String,
    /// Parts of the model.
    pub parts: Vec<PartInfo>,
    /// Preprocessing of sounds, for a model that hears.
    pub audio: Option<AudioPreprocessorConfig>,
    /// Time taken by loading.
    pub load: Duration,
}

impl EngineInfo {
    /// Returns whether questions may contain sounds.
    pub fn hears(&self) -> bool {
        self.audio.is_some()
    }

    /// Returns whether questions are answered in words; otherwise the model makes masks for points
    /// and boxes alone.
    pub fn speaks(&self) -> bool {
        self.parts.iter().any(|part| part.name == LANGUAGE_MODEL)
    }

    /// Returns whether the model makes masks; otherwise it answers in words alone.
    pub fn makes_masks(&self) -> bool {
        self.parts.iter().any(|part| part.name == MASK_DECODER)
    }

    /// Memory of all parameters in bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// Parts of a model.
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

/// Describes a part that not every model has.
fn optional_part<B: Backend>(
    name: &'static str,
    module: &Option<impl Module<B>>,
) -> Option<PartInfo> {
    module.as_ref().map(|module| part(name, module))
}

/// Parts of a standalone SAM.
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
