//! From a config to a trained model folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use anyref_core::{AnyRef, AnyRefConfig};
use anyref_llm::tokenizer::Tokenizer;
use anyref_llm::train_tokenizer;
use burn::module::AutodiffModule;
use burn::tensor::DType;
use burn::tensor::backend::AutodiffBackend;

use super::checkpoint;
use super::config::{StageKind, TrainConfig};
use super::trainer::{RunOptions, train_stage};
use crate::data::Scenes;
use crate::stages::{AudioStage, ClipStage, InstructStage, SamStage, StageContext};
use crate::trainee::Trainee;

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
pub fn launch<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    stop_after: Option<u64>,
    device: &B::Device,
) -> Result<bool> {
    config.check()?;
    std::fs::create_dir_all(&folders.run)
        .with_context(|| format!("cannot create {}", folders.run.display()))?;
    let scenes = open_scenes(config, folders)?;
    let tokenizer = tokenizer(&folders.run, &scenes, config.vocabulary)?;
    let mut model = config.model.clone();
    model.llm.vocab_size = tokenizer.vocab_size();
    write_config(&folders.run, config)?;
    let context = StageContext::new(
        scenes,
        config.instructions.clone(),
        model.clone(),
        tokenizer,
        config.seed,
    )?;

    B::seed(device, config.seed);
    let mut trainee = fresh::<B>(&model, context.name_count(), device)?;
    let newest = checkpoint::newest(&folders.run.join("checkpoints"))?;
    let mut position = None;
    match &newest {
        Some(path) => {
            let (loaded, at) = checkpoint::load(path, trainee)?;
            trainee = loaded;
            position = Some(at);
        }
        None => {
            for initial in &config.initial {
                trainee = checkpoint::load_parts(&initial.from, &initial.parts, trainee)?;
            }
        }
    }
    let options = RunOptions {
        folder: folders.run.clone(),
        checkpoint_every: config.checkpoint_every,
        validate_every: config.validate_every,
        keep: config.keep_checkpoints,
        stop_after: None,
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
            ..options.clone()
        };
        let ahead = stage.steps - resume.map_or(0, |(_, at)| at.step);
        left = left.map(|left| left.saturating_sub(ahead));
        macro_rules! run {
            ($stage:expr) => {
                train_stage(&$stage, stage, &options, trainee, resume, index)?
            };
        }
        let (trained, complete) = match stage.kind {
            StageKind::Clip => run!(ClipStage::new(&context, stage.clone())),
            StageKind::Sam => run!(SamStage::new(&context, stage.clone())),
            StageKind::Audio => run!(AudioStage::new(&context, stage.clone())?),
            StageKind::Instruct => run!(InstructStage::new(&context, stage.clone())?),
        };
        trainee = trained;
        if !complete {
            return Ok(false);
        }
    }
    export(
        &trainee,
        model,
        context.tokenizer,
        &folders.run.join("model"),
        device,
    )?;
    Ok(true)
}

/// Writes the model of a checkpoint as a model folder, in half precision.
pub fn export_checkpoint<B: AutodiffBackend>(
    config: &TrainConfig,
    folders: &Folders,
    out: &Path,
    device: &B::Device,
) -> Result<PathBuf> {
    let scenes = open_scenes(config, folders)?;
    let tokenizer = tokenizer(&folders.run, &scenes, config.vocabulary)?;
    let mut model = config.model.clone();
    model.llm.vocab_size = tokenizer.vocab_size();
    let names = scenes.library().nouns(false).len();
    let Some(path) = checkpoint::newest(&folders.run.join("checkpoints"))? else {
        bail!("{} has no checkpoint: train first", folders.run.display());
    };
    let trainee = fresh::<B>(&model, names, device)?;
    let trainee = checkpoint::load_weights(&path, trainee)?;
    export(&trainee, model, tokenizer, out, device)?;
    Ok(path)
}

fn export<B: AutodiffBackend>(
    trainee: &Trainee<B>,
    config: AnyRefConfig,
    tokenizer: Tokenizer,
    out: &Path,
    device: &B::Device,
) -> Result<()> {
    let model = trainee.valid().anyref;
    let anyref = AnyRef::<B::InnerBackend>::new(config, model, tokenizer, device.clone())?;
    anyref.save(out, DType::F16)?;
    Ok(())
}

/// A model with its heads, and with adapters where the config asks for them.
fn fresh<B: AutodiffBackend>(
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

/// The run's tokenizer, trained once on the data set's language.
fn tokenizer(run: &Path, scenes: &Scenes, vocabulary: usize) -> Result<Tokenizer> {
    let file = run.join("tokenizer.json");
    if file.is_file() {
        return Ok(Tokenizer::from_file(file)?);
    }
    let mut tokenizer = train_tokenizer(scenes.all_texts(), vocabulary)?;
    tokenizer.add_anyref_tokens()?;
    tokenizer.save(&file)?;
    Ok(tokenizer)
}

/// Saves the config beside the run, and refuses to continue a run with another model or data.
fn write_config(run: &Path, config: &TrainConfig) -> Result<()> {
    let file = run.join("config.json");
    if let Ok(text) = std::fs::read_to_string(&file) {
        let before: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", file.display()))?;
        // Through text, since numbers of 32 bits read back differ from those never written.
        let now: serde_json::Value = serde_json::from_str(&serde_json::to_string(config)?)?;
        for field in ["seed", "model", "vocabulary", "scenes", "shapes"] {
            if before[field] != now[field] {
                bail!(
                    "{} was started with another `{field}`: give this run another folder",
                    run.display()
                );
            }
        }
    }
    std::fs::write(&file, serde_json::to_string_pretty(config)? + "\n")?;
    Ok(())
}
