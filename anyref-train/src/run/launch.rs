//! From a config to a trained model folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use anyref_core::AnyRefConfig;
use anyref_llm::tokenizer::Tokenizer;
use anyref_llm::train_tokenizer;
use anyref_weights::{local_path, parameters, write_atomic};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;

use super::checkpoint;
use super::config::{InitialWeights, StageConfig, StageKind, TrainConfig};
use super::distributed::topology::Nodes;
use super::export::{Which, export, export_checkpoint};
use super::initial_weights::Given;
use super::precision::{common_half, narrowed};
use super::recompute::Recomputing;
use super::trainer::{RunOptions, train_stage};
use crate::stages::{
    AudioStage, ClipStage, DataSources, InstructStage, SamStage, SceneContext, StageContext,
};
use crate::trainee::Trainee;
use anyref_data::scenes::Scenes;

/// The run's tokenizer, in its folder.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// The run's configuration, there too.
const CONFIG: &str = "config.json";

/// Where a run reads and writes.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The run's own folder.
    pub run: PathBuf,
    /// The unpacked stamps.
    pub stamps: PathBuf,
    /// Photographic backgrounds, if there are any.
    pub backgrounds: Option<PathBuf>,
}

/// Opens the data set of a run.
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

/// Trains from the newest checkpoint, or from the start; writes the model to `RUN/model` once the last
/// stage is complete. Returns whether it is.
///
/// # Errors
/// As [`launch_on`].
pub fn launch<B: Recomputing>(
    config: &TrainConfig,
    folders: &Folders,
    stop_after: Option<u64>,
    device: &B::Device,
) -> Result<bool> {
    let devices = std::slice::from_ref(device);
    launch_on::<B>(config, folders, stop_after, devices, None)
}

/// [`launch`] on several devices, each of which takes micro-batches of its own: `accumulation` of them a step, on each;
/// and on several machines. All of these go on from the newest checkpoint in their own folder of the run, which has to be
/// that of node 0, the only one that writes there.
///
/// # Errors
/// When there is no device, the configuration contradicts itself or what the run was started with, or what it reads
/// (data, tokenizer, the weights to start from, its checkpoint) is missing, damaged or does not fit the configuration.
/// As [`train_stage`], and when the run's folder cannot be written or a weight of the finished model does not fit half
/// precision.
pub fn launch_on<B: Recomputing>(
    config: &TrainConfig,
    folders: &Folders,
    stop_after: Option<u64>,
    devices: &[B::Device],
    nodes: Option<&Nodes>,
) -> Result<bool> {
    let is_first = nodes.is_none_or(|nodes| nodes.rank == 0);
    let device = devices.first().context("there is no device to run on")?;
    config.check()?;
    std::fs::create_dir_all(&folders.run)
        .with_context(|| format!("cannot create {}", folders.run.display()))?;
    let mut shared = Shared::open(config, folders)?;
    let data = config
        .stages
        .iter()
        .map(|stage| {
            let open = |data| DataSources::open(data, config.seed);
            stage.data.as_ref().map(open).transpose()
        })
        .collect::<Result<Vec<_>>>()?;
    check_config(&folders.run, config)?;
    if is_first {
        write_start(&folders.run, config, &shared.stage().tokenizer)?;
    }

    B::seed(device, config.seed);
    let trainee = fresh::<B>(&shared.stage().model, shared.name_count(), device)?;
    let newest = checkpoint::newest(&folders.run.join("checkpoints"))?;
    let position = newest.as_deref().map(checkpoint::position).transpose()?;
    let (mut trainee, given) = match &newest {
        Some(path) => Given::restore(config, path, trainee)?,
        None => Given::load(config, trainee)?,
    };
    // What is not read is drawn here, in the order of the model, so that it does not matter how many devices use it.
    let _ = trainee.valid();
    let half = common_half(&config.stages).filter(|&dtype| B::supports_dtype(device, dtype));
    let frozen = given.untouched(&trainee, &config.stages)?;
    let narrow = half.filter(|_| !frozen.is_empty());
    if let Some(dtype) = narrow {
        trainee = narrowed(trainee, &frozen, dtype);
        B::memory_cleanup(device);
    }
    let options = RunOptions {
        folder: folders.run.clone(),
        checkpoint_every: config.checkpoint_every,
        validate_every: config.validate_every,
        keep: config.keep_checkpoints,
        seed: config.seed,
        stop_after: None,
        left_out: Default::default(),
        nodes: nodes.cloned(),
    };
    let mut left = stop_after;
    for (index, stage) in config.stages.iter().enumerate() {
        let resume = match (&newest, &position) {
            (Some(_), Some(at)) if at.stage > index => continue,
            (Some(path), Some(at)) if at.stage == index => {
                if at.step >= stage.steps {
                    continue;
                }
                Some((path.as_path(), at))
            }
            _ => None,
        };
        if left == Some(0) {
            return Ok(false);
        }
        let options = RunOptions {
            stop_after: left,
            left_out: given.untouched(&trainee, &config.stages[..=index])?,
            ..options.clone()
        };
        check_features(stage, &trainee)?;
        let ahead = stage.steps - resume.map_or(0, |(_, at)| at.step);
        left = left.map(|left| left.saturating_sub(ahead));
        shared.begin_stage(index);
        macro_rules! run {
            ($stage:expr) => {
                train_stage(&$stage, stage, &options, trainee, resume, index, devices)?
            };
        }
        let config = stage.clone();
        let (trained, complete) = match (stage.kind, &data[index]) {
            (StageKind::Clip, _) => run!(ClipStage::new(shared.scenes()?, config)),
            (StageKind::Sam, _) => run!(SamStage::new(shared.scenes()?, config)),
            (StageKind::Audio, _) => run!(AudioStage::new(shared.scenes()?, config)?),
            (StageKind::Instruct, data) => {
                let instruct = match data {
                    None => InstructStage::new(shared.scenes()?, config)?,
                    Some(data) => InstructStage::with_data(shared.stage(), data, config),
                };
                match stage.recompute {
                    false => run!(instruct),
                    true => {
                        let sparing = Trainee::<B::Sparing>::from_inner(trainee.valid());
                        drop(trainee);
                        let (trained, complete) = train_stage(
                            &instruct, stage, &options, sparing, resume, index, devices,
                        )?;
                        (Trainee::from_inner(trained.valid()), complete)
                    }
                }
            }
        };
        trainee = trained;
        if !complete {
            return Ok(false);
        }
    }
    if is_first {
        let out = folders.run.join("model");
        match narrow {
            None => export(&trainee, shared.stage(), &out, device)?,
            // With what is frozen as it was given.
            Some(_) => {
                drop(trainee);
                export_checkpoint::<B>(config, folders, Which::Newest, &out, device)?;
            }
        }
    }
    Ok(true)
}

/// Refuses to keep the features of encoders that the stage trains.
fn check_features<B: AutodiffBackend>(stage: &StageConfig, trainee: &Trainee<B>) -> Result<()> {
    if stage.features.is_none() {
        return Ok(());
    }
    let trainable = stage.trainable_patterns()?;
    for encoder in ["anyref.vision_tower.", "anyref.image_encoder."] {
        let trained = parameters::<B, _>(trainee).into_values().any(|parameter| {
            let path = &parameter.path;
            path.starts_with(encoder) && trainable.iter().any(|pattern| pattern.is_match(path))
        });
        if trained {
            bail!(
                "stage {} trains {encoder}*, whose `features` cannot be kept: leave one of them out",
                stage.kind
            );
        }
    }
    Ok(())
}

/// What the stages of a run share, with scenes where any of them needs those.
pub(super) enum Shared {
    Scenes(Box<SceneContext>),
    Data(Box<StageContext>),
}

impl Shared {
    pub(super) fn open(config: &TrainConfig, folders: &Folders) -> Result<Self> {
        let scenes = match config.needs_scenes() {
            true => Some(open_scenes(config, folders)?),
            false => None,
        };
        let tokenizer = tokenizer(&folders.run, scenes.as_ref(), config)?;
        let mut model = config.model.clone();
        match &config.start {
            // What the weights were made for, but for adapters, which are the run's.
            Some(start) => {
                let lora = model.lora.take();
                model = AnyRefConfig::of_folder(&local_path(start)?)?;
                model.lora = lora.or(model.lora);
            }
            None => model.llm.vocab_size = tokenizer.vocab_size(),
        }
        let stage = StageContext::new(model, tokenizer, config.seed)?;
        Ok(match scenes {
            Some(scenes) => {
                let asked = config.instructions.clone();
                Self::Scenes(Box::new(SceneContext::new(stage, scenes, asked)))
            }
            None => Self::Data(Box::new(stage)),
        })
    }

    /// Goes on to a stage of the run.
    fn begin_stage(&mut self, index: usize) {
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
            Self::Data(_) => bail!("the run has no scenes: name data sets in every stage"),
        }
    }

    /// Names that the heads learn, of which there is always one.
    pub(super) fn name_count(&self) -> usize {
        match self {
            Self::Scenes(context) => context.name_count(),
            Self::Data(_) => 1,
        }
    }
}

/// A model with its heads, and with adapters where the config asks for them.
pub(super) fn fresh<B: AutodiffBackend>(
    config: &AnyRefConfig,
    names: usize,
    device: &B::Device,
) -> Result<Trainee<B>> {
    let mut trainee = Trainee::new(config, names, device);
    if let Some(lora) = &config.lora {
        trainee.anyref.llm = trainee.anyref.llm.with_lora(lora)?;
    }
    Ok(trainee)
}

/// The tokenizer of the language model that the run has from `initial`: its weights mean nothing without it. It is in the
/// model folder, or in the folder of the run whose checkpoint that is.
fn tokenizer_of_words(config: &TrainConfig) -> Result<Option<Tokenizer>> {
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
        None => bail!(
            "`initial`: {} has a language model and no tokenizer: put its tokenizer.json there",
            initial.from.display()
        ),
    }
}

/// The run's tokenizer: that of the model it starts from or has its language model from, or one trained once on the
/// scenes' language.
fn tokenizer(run: &Path, scenes: Option<&Scenes>, config: &TrainConfig) -> Result<Tokenizer> {
    let file = run.join(TOKENIZER);
    if file.is_file() {
        return Ok(Tokenizer::from_file(file)?);
    }
    if config.start.is_none()
        && let Some(tokenizer) = tokenizer_of_words(config)?
    {
        return Ok(tokenizer);
    }
    Ok(match (&config.start, scenes) {
        (Some(start), _) => Tokenizer::from_folder(&*local_path(start)?)?,
        (None, Some(scenes)) => {
            let mut tokenizer = train_tokenizer(scenes.all_texts(), config.vocabulary)?;
            tokenizer.add_anyref_tokens()?;
            tokenizer
        }
        (None, None) => bail!("there is no tokenizer: give a model to `start` from"),
    })
}

/// Refuses to continue a run with another model or data.
fn check_config(run: &Path, config: &TrainConfig) -> Result<()> {
    let file = run.join(CONFIG);
    if let Ok(text) = std::fs::read_to_string(&file) {
        let before: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", file.display()))?;
        // Through text, since numbers of 32 bits read back differ from those never written.
        let now: serde_json::Value = serde_json::from_str(&serde_json::to_string(config)?)?;
        let [before, now] = [before, now].map(without_answering);
        for field in [
            "seed",
            "model",
            "start",
            "initial",
            "vocabulary",
            "scenes",
            "shapes",
        ] {
            if before[field] != now[field] {
                bail!(
                    "{} was started with another `{field}`: give this run another folder",
                    run.display()
                );
            }
        }
        let stages = [&before, &now].map(|config| config["stages"].as_array());
        if let [Some(before), Some(now)] = stages
            && before.iter().zip(now).any(|(a, b)| a["data"] != b["data"])
        {
            bail!(
                "{} was started with other `data` in a stage: give this run another folder",
                run.display()
            );
        }
    }
    Ok(())
}

/// The configuration without what decides how the trained model answers, which training does not look at.
fn without_answering(mut config: serde_json::Value) -> serde_json::Value {
    const ANSWERING: [&str; 4] = [
        "candidates",
        "max_history_turns",
        "max_new_tokens",
        "min_mask_score",
    ];
    if let Some(model) = config["model"].as_object_mut() {
        model.retain(|field, _| !ANSWERING.contains(&field.as_str()));
    }
    config
}

/// Saves the config and the tokenizer beside the run; a tokenizer that is there already stays, and others may read it.
fn write_start(run: &Path, config: &TrainConfig, tokenizer: &Tokenizer) -> Result<()> {
    let file = run.join(CONFIG);
    let text = serde_json::to_string_pretty(config)? + "\n";
    // A run that goes on writes nothing, so that a full disk takes nothing from it.
    if std::fs::read_to_string(&file).ok().as_ref() != Some(&text) {
        write_atomic(&file, &text)?;
    }
    let file = run.join(TOKENIZER);
    if !file.is_file() {
        tokenizer.save(&file)?;
    }
    Ok(())
}
