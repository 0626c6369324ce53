//! Folders of a run, its scenes and its tokenizer: everything that its stages share.

use std::path::{Path, PathBuf};

use anyref_data::scenes::Scenes;
use anyref_llm::Tokenizer;
use anyref_llm::train_tokenizer;
use anyref_weights::local_path;
use burn::tensor::backend::Backend;

use super::error::{Result, RunError};
use super::start_folder::StartFolder;
use crate::config::{InitialWeights, TrainConfig};
use crate::stages::{SceneContext, StageContext};

/// File name of the run's tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";

/// Folders that a run reads and writes.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Folder of the run.
    pub run: PathBuf,
    /// Folder of the unpacked stamps.
    pub stamps: PathBuf,
    /// Photographic backgrounds, if there are any.
    pub backgrounds: Option<PathBuf>,
}

/// Opens the scenes of a run.
///
/// # Errors
/// As [`Scenes::shapes`] or [`Scenes::stamps`], whichever the configuration asks for.
pub fn open_scenes(config: &TrainConfig, folders: &Folders) -> Result<Scenes> {
    Ok(if config.shapes {
        Scenes::shapes(config.scenes.clone())?
    } else {
        let backgrounds = folders.backgrounds.as_deref();
        Scenes::stamps(&folders.stamps, backgrounds, config.scenes.clone())?
    })
}

/// Context that the stages of a run share, with scenes if a stage needs them.
#[derive(Debug)]
pub(super) enum RunContext {
    Scenes(Box<SceneContext>),
    Data(Box<StageContext>),
}

impl RunContext {
    /// Opens the scenes and the tokenizer, and reads the configuration of the model to start from.
    pub(super) fn open<B: Backend>(config: &TrainConfig, folders: &Folders) -> Result<Self> {
        let scenes = match config.needs_scenes() {
            true => Some(open_scenes(config, folders)?),
            false => None,
        };
        let start = config.start.as_deref().map(local_path).transpose()?;
        let start = start.as_deref().map(StartFolder::open::<B>).transpose()?;
        let tokenizer = tokenizer(&folders.run, scenes.as_ref(), config, start.as_ref())?;
        let model = match start {
            // Sizes come from the weights.
            Some(start) => config.model_from(start.config()?)?,
            None => {
                let mut model = config.model_from(config.model.clone())?;
                model.llm.vocab_size = tokenizer.vocab_size();
                model
            }
        };
        let stage = StageContext::new(model, tokenizer, config.seed)?;
        Ok(match scenes {
            Some(scenes) => {
                let instructions = config.instructions.clone();
                Self::Scenes(Box::new(SceneContext::new(stage, scenes, instructions)))
            }
            None => Self::Data(Box::new(stage)),
        })
    }

    /// Prepares for a stage of the run.
    pub(super) fn begin_stage(&mut self, index: usize) {
        if let Self::Scenes(context) = self {
            context.begin_stage(index);
        }
    }

    pub(super) fn stage(&self) -> &StageContext {
        match self {
            Self::Scenes(context) => context,
            Self::Data(context) => context,
        }
    }

    pub(super) fn scenes(&self) -> Result<&SceneContext> {
        match self {
            Self::Scenes(context) => Ok(context),
            Self::Data(_) => Err(RunError::NoScenes),
        }
    }

    /// Number of names that the heads are trained on, at least one.
    pub(super) fn name_count(&self) -> usize {
        match self {
            Self::Scenes(context) => context.name_count(),
            Self::Data(_) => 1,
        }
    }
}

/// Tokenizer of the run: that of the model or language model it starts from, or one trained once on
/// the texts of the scenes.
fn tokenizer(
    run: &Path,
    scenes: Option<&Scenes>,
    config: &TrainConfig,
    start: Option<&StartFolder>,
) -> Result<Tokenizer> {
    let file = run.join(TOKENIZER);
    if file.is_file() {
        return Ok(Tokenizer::from_file(file)?);
    }
    if config.start.is_none()
        && let Some(tokenizer) = tokenizer_of_language_model(config)?
    {
        return Ok(tokenizer);
    }
    Ok(match (start, scenes) {
        (Some(start), _) => start.tokenizer()?,
        (None, Some(scenes)) => {
            let mut tokenizer = train_tokenizer(scenes.all_texts(), config.vocabulary)?;
            tokenizer.add_anyref_tokens()?;
            tokenizer
        }
        (None, None) => return Err(RunError::NoTokenizer),
    })
}

/// Tokenizer of the language model that the run takes from `initial`, which only fits its own
/// tokenizer. It lies in the model folder, or in the folder of the run that the checkpoint belongs
/// to.
fn tokenizer_of_language_model(config: &TrainConfig) -> Result<Option<Tokenizer>> {
    let gives = |initial: &&InitialWeights| {
        let mut parts = initial.parts.iter();
        parts.any(|part| part == "llm" || part.starts_with("llm."))
    };
    let Some(initial) = config.initial.iter().find(gives) else {
        return Ok(None);
    };
    let from = local_path(&initial.from)?;
    let run = from.ancestors().nth(2);
    let run = run.filter(|run| !run.as_os_str().is_empty());
    let mut folders = [Some(from.as_ref()), run].into_iter().flatten();
    match folders.find(|folder| Tokenizer::is_in_folder(folder)) {
        Some(folder) => Ok(Some(Tokenizer::from_folder(folder)?)),
        None => Err(RunError::NoInitialTokenizer {
            from: initial.from.clone(),
        }),
    }
}
