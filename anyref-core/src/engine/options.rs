//! Options of an engine.

use std::borrow::Cow;
use std::path::PathBuf;

use burn::tensor::backend::Backend;

use crate::backend::BackendName;
use crate::companions::Companions;
use crate::folder::ModelFiles;
use crate::model_place::ModelPlace;
use crate::precision::ModelOptions;
use crate::prompt_config::Template;
use crate::{AnyRef, Result};

/// Source of a model.
#[derive(Debug, Clone)]
pub enum ModelSource {
    /// A model folder, a file that names published parts or a published model, as of
    /// [`AnyRef::load`].
    Path(PathBuf),
    /// A path, opened.
    Place(ModelPlace),
    /// The content of a model folder's files.
    Files(ModelFiles<'static>),
}

impl ModelSource {
    /// The source with what is at its path opened.
    ///
    /// # Errors
    /// As [`ModelPlace::open`].
    pub(super) fn opened(&self) -> Result<Cow<'_, Self>> {
        Ok(match self {
            Self::Path(path) => Cow::Owned(Self::Place(ModelPlace::open(path)?)),
            Self::Place(_) | Self::Files(_) => Cow::Borrowed(self),
        })
    }

    /// Loads the model onto a device.
    ///
    /// # Errors
    /// As [`AnyRef::load_beside`].
    pub fn load<B: Backend>(
        &self,
        companions: &Companions,
        weights: ModelOptions,
        device: &B::Device,
    ) -> Result<AnyRef<B>> {
        let mut anyref = match self {
            Self::Path(path) => AnyRef::load_beside(path, companions, weights, device),
            Self::Place(place) => AnyRef::load_opened(place, companions, weights, device),
            Self::Files(files) => AnyRef::from_files(*files, weights, device),
        }?;
        anyref.sounds = companions.sound_labeller(&anyref.config, weights, device)?;
        Ok(anyref)
    }
}

/// Changes of how a model answers; the model's own way where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AnswerOptions {
    /// Above 0, answers are sampled.
    pub temperature: f64,
    /// Seed of sampled answers.
    pub seed: u64,
    /// Longest answer, in tokens.
    pub max_new_tokens: Option<usize>,
    /// Masks of a lower estimated IoU are left out, as
    /// [`min_mask_score`](crate::AnyRefConfig::min_mask_score) says.
    pub min_mask_score: Option<f32>,
    /// Answers that are tried, as of [`CandidateConfig::count`](crate::CandidateConfig::count).
    pub candidates: Option<usize>,
    /// Whether all masks for a picture are kept, where pictures are bridged
    /// ([`BridgeOptions::keep_all`](crate::BridgeOptions::keep_all)).
    pub keep_all: bool,
    /// Least probability of a sound's labels, where sounds are bridged
    /// ([`BridgeOptions::sound_threshold`](crate::BridgeOptions::sound_threshold)).
    pub sound_threshold: Option<f32>,
    /// Conversation template, as of [`PromptConfig::template`](crate::PromptConfig::template).
    pub template: Option<Template>,
    /// Memory of questions that are answered together, as of [`AnyRef::batch_bytes`].
    pub batch_bytes: Option<u64>,
}

impl AnswerOptions {
    /// Changes a model.
    ///
    /// # Errors
    /// When a value is out of its range.
    pub fn apply<B: Backend>(&self, anyref: &mut AnyRef<B>) -> Result<()> {
        anyref.generation.temperature = self.temperature;
        anyref.generation.seed = self.seed;
        if let Some(tokens) = self.max_new_tokens {
            anyref.config.max_new_tokens = tokens;
            anyref.generation.max_new_tokens = tokens;
        }
        if let Some(score) = self.min_mask_score {
            anyref.config.min_mask_score = score;
        }
        if let Some(count) = self.candidates {
            anyref.config.candidates.count = count;
        }
        if let Some(template) = self.template {
            anyref.config.prompts.template = template;
        }
        if let Some(bytes) = self.batch_bytes {
            anyref.batch_bytes = bytes;
        }
        anyref.bridge.keep_all = self.keep_all;
        if let Some(threshold) = self.sound_threshold {
            anyref.bridge.sound_threshold = threshold;
        }
        anyref.bridge.validate()?;
        anyref.config.validate()
    }
}

/// Options of [`load_engine`](crate::load_engine).
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The backend.
    pub backend: BackendName,
    /// Number of its device, the backend's own choice where there is none.
    pub device: Option<usize>,
    /// The model.
    pub model: ModelSource,
    /// Parts that it does not carry itself.
    pub companions: Companions,
    /// The types of its weights and values.
    pub weights: ModelOptions,
    /// How it answers.
    pub answers: AnswerOptions,
}

impl EngineOptions {
    /// A model on the default backend, with its own options.
    pub fn new(model: ModelSource) -> Self {
        Self {
            backend: BackendName::default(),
            device: None,
            model,
            companions: Companions::default(),
            weights: ModelOptions::default(),
            answers: AnswerOptions::default(),
        }
    }
}
