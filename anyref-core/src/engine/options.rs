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
    /// Model folder, file that names published parts, or published model, see [`AnyRef::load`].
    Path(PathBuf),
    /// Opened model.
    Place(ModelPlace),
    /// Content of a model folder's files.
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
    /// See [`AnyRef::load_beside`].
    pub fn load<B: Backend>(
        &self,
        companions: &Companions,
        weights: ModelOptions,
        device: &B::Device,
    ) -> Result<AnyRef<B>> {
        let mut anyref = match self {
            Self::Path(path) => AnyRef::load_beside(path, companions, weights.clone(), device),
            Self::Place(place) => AnyRef::load_opened(place, companions, weights.clone(), device),
            Self::Files(files) => AnyRef::from_files(*files, weights.clone(), device),
        }?;
        anyref.sounds = companions.sound_labeller(&anyref.config, weights, device)?;
        Ok(anyref)
    }
}

/// Overrides of the model's answer settings; `None` keeps the model's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AnswerOptions {
    /// Sampling temperature; 0 generates greedily.
    pub temperature: f64,
    /// Seed of sampled answers.
    pub seed: u64,
    /// Maximum tokens of an answer.
    pub max_new_tokens: Option<usize>,
    /// Minimum IoU estimate of masks that are kept, see
    /// [`min_mask_score`](crate::AnyRefConfig::min_mask_score).
    pub min_mask_score: Option<f32>,
    /// Number of answers that are tried, see
    /// [`CandidateConfig::count`](crate::CandidateConfig::count).
    pub candidates: Option<usize>,
    /// Keeps all masks for a picture where pictures are bridged
    /// ([`BridgeOptions::keep_all`](crate::BridgeOptions::keep_all)).
    pub keep_all: bool,
    /// Minimum probability of a sound's labels where sounds are bridged
    /// ([`BridgeOptions::sound_threshold`](crate::BridgeOptions::sound_threshold)).
    pub sound_threshold: Option<f32>,
    /// Conversation template, see [`PromptConfig::template`](crate::PromptConfig::template).
    pub template: Option<Template>,
    /// Memory for questions that are answered together in bytes, see [`AnyRef::batch_bytes`].
    pub batch_bytes: Option<u64>,
    /// Most tiles of a picture, of a model that cuts pictures into tiles
    /// ([`TiledTowerConfig::max_tiles`](crate::TiledTowerConfig::max_tiles)).
    pub max_tiles: Option<usize>,
}

impl AnswerOptions {
    /// Applies the overrides to a model.
    ///
    /// # Errors
    /// When a value is out of range.
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
            anyref.set_template(template)?;
        }
        if let Some(bytes) = self.batch_bytes {
            anyref.batch_bytes = bytes;
        }
        if let Some(tiles) = self.max_tiles {
            anyref.config.set_max_tiles(tiles)?;
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
    /// Backend to run on.
    pub backend: BackendName,
    /// Number of the backend's device; `None` is its default.
    pub device: Option<usize>,
    /// Source of the model.
    pub model: ModelSource,
    /// Parts that the model does not contain.
    pub companions: Companions,
    /// Types of weights and values.
    pub weights: ModelOptions,
    /// Answer settings.
    pub answers: AnswerOptions,
}

impl EngineOptions {
    /// Options for a model on the default backend, with the model's own settings.
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
