//! A run from its configuration to the exported model folder.

use std::path::{Path, PathBuf};

use anyref_weights::parameters;
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;

use super::checkpoint::{self, Position};
use super::context::{Folders, RunContext};
use super::distributed::Topology;
use super::error::{Result, RunError};
use super::export::{Which, export, export_checkpoint};
use super::frozen_blocks;
use super::initial_weights::InitialParameters;
use super::job::{RunOptions, StageJob};
use super::mixed_precision::with_half_weights;
use super::progress::Progress;
use super::run_folder::{check_config, write_config};
use super::trainer::train_stage;
use crate::config::{StageConfig, StageKind, TrainConfig};
use crate::file_error::FileError;
use crate::gradient_checkpointing::Recomputing;
use crate::stages::{AudioStage, ClipStage, DataSources, InstructStage, SamStage};
use crate::trainee::Trainee;

/// Trains on one device from the newest checkpoint, or from the start; see [`Launch::run`].
///
/// # Errors
/// As [`Launch::run`].
pub fn launch<B: Recomputing>(
    config: &TrainConfig,
    folders: &Folders,
    stop_after: Option<u64>,
    device: &B::Device,
) -> Result<bool> {
    let launch = Launch {
        stop_after,
        ..Launch::new(config, folders)
    };
    launch.run::<B>(std::slice::from_ref(device))
}

/// Run to be started or resumed.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// Configuration of the run.
    pub config: &'a TrainConfig,
    /// Folders that the run reads and writes.
    pub folders: &'a Folders,
    /// Steps after which this process stops, to be resumed later.
    pub stop_after: Option<u64>,
    /// Machines that train together. Each resumes from the newest checkpoint in its own folder of
    /// the run, which must equal that of node 0, the only one that writes there.
    pub topology: Option<&'a Topology>,
    /// Receiver of the progress.
    pub progress: &'a dyn Progress,
}

impl<'a> Launch<'a> {
    /// Run on one machine, to its end, without progress.
    pub fn new(config: &'a TrainConfig, folders: &'a Folders) -> Self {
        Self {
            config,
            folders,
            stop_after: None,
            topology: None,
            progress: &(),
        }
    }

    /// Trains from the newest checkpoint, or from the start; writes the model to `RUN/model` once
    /// the last stage is complete. Returns whether it is.
    ///
    /// Each of `devices` takes [`StageConfig::accumulation`] micro-batches of its own a step.
    ///
    /// # Errors
    /// When there is no device, the configuration contradicts itself or the one that the run was
    /// started with, or an input (data, tokenizer, initial weights, checkpoint) is missing, damaged
    /// or does not fit the configuration. As [`train_stage`], and when the run's folder cannot be
    /// written or a weight of the finished model overflows half precision.
    pub fn run<B: Recomputing>(&self, devices: &[B::Device]) -> Result<bool> {
        let mut run = Run::<B>::open(self, devices)?;
        let Start {
            mut trainee,
            initial,
            resume,
            in_half,
        } = run.start()?;
        let mut left = self.stop_after;
        for (index, stage) in self.config.stages.iter().enumerate() {
            let resume = resume.as_ref();
            if resume.is_some_and(|resume| resume.has_completed(index, stage)) {
                continue;
            }
            if left == Some(0) {
                return Ok(false);
            }
            let resume = resume.and_then(|resume| resume.within(index));
            let options = RunOptions {
                stop_after: left,
                left_out: initial.frozen(&trainee, &self.config.stages[..=index])?,
                ..run.options()
            };
            let ahead = stage.steps - resume.map_or(0, |(_, position)| position.step);
            left = left.map(|left| left.saturating_sub(ahead));
            let job = StageJob {
                config: stage,
                index,
                options: &options,
                resume,
            };
            let complete;
            (trainee, complete) = run.train_stage(&job, trainee)?;
            if !complete {
                return Ok(false);
            }
        }
        run.export(trainee, in_half)?;
        Ok(true)
    }
}

/// Run with all inputs of its stages.
struct Run<'a, B: AutodiffBackend> {
    launch: &'a Launch<'a>,
    devices: &'a [B::Device],
    device: &'a B::Device,
    context: RunContext,
    /// Data sets of each stage, for stages trained on data sets.
    data: Vec<Option<DataSources>>,
}

/// Weights from which a run starts or resumes.
struct Start<B: AutodiffBackend> {
    trainee: Trainee<B>,
    initial: InitialParameters,
    resume: Option<Resume>,
    /// Whether weights that no stage trains are held in half precision.
    in_half: bool,
}

/// Checkpoint from which a run resumes.
struct Resume {
    path: PathBuf,
    position: Position,
}

impl Resume {
    /// Returns whether a stage was completed before.
    fn has_completed(&self, index: usize, stage: &StageConfig) -> bool {
        let position = &self.position;
        position.stage > index || (position.stage == index && position.step >= stage.steps)
    }

    /// Checkpoint, if it lies within this stage.
    fn within(&self, index: usize) -> Option<(&Path, &Position)> {
        (self.position.stage == index).then_some((self.path.as_path(), &self.position))
    }
}

impl<'a, B: Recomputing> Run<'a, B> {
    /// Opens scenes, tokenizer and data sets, and writes the configuration into the run's folder.
    fn open(launch: &'a Launch<'a>, devices: &'a [B::Device]) -> Result<Self> {
        let Launch {
            config, folders, ..
        } = launch;
        let device = devices.first().ok_or(RunError::NoDevice)?;
        config.check()?;
        std::fs::create_dir_all(&folders.run).map_err(FileError::of("create", &folders.run))?;
        let context = RunContext::open::<B::InnerBackend>(config, folders)?;
        let open = |stage: &StageConfig| {
            let open = |data| DataSources::open(data, config.seed);
            stage.data.as_ref().map(open).transpose()
        };
        let data = config.stages.iter().map(open).collect::<Result<_, _>>()?;
        check_config(&folders.run, config)?;
        let run = Self {
            launch,
            devices,
            device,
            context,
            data,
        };
        if run.writes() {
            write_config(&folders.run, config, &run.context.stage().tokenizer)?;
        }
        Ok(run)
    }

    /// Returns whether this machine writes the run's folder.
    fn writes(&self) -> bool {
        self.launch.topology.is_none_or(|nodes| nodes.rank == 0)
    }

    /// Initialises the weights, and reads those of the checkpoint or of the start.
    fn start(&self) -> Result<Start<B>> {
        let Launch {
            config, folders, ..
        } = self.launch;
        let (context, device) = (&self.context, self.device);
        B::seed(device, config.seed);
        let model = &context.stage().model;
        let trainee = Trainee::<B>::with_adapters(model, context.name_count(), device)?;
        frozen_blocks::check(config, &trainee)?;
        let newest = checkpoint::newest(&folders.run.join("checkpoints"))?;
        let resume = newest.map(|path| -> Result<_> {
            let position = checkpoint::position(&path)?;
            Ok(Resume { path, position })
        });
        let resume = resume.transpose()?;
        let (mut trainee, initial) = match &resume {
            Some(resume) => InitialParameters::restore(config, &resume.path, trainee)?,
            None => InitialParameters::load(config, trainee)?,
        };
        // Weights that are not read are drawn here, in the order of the model, independent of the
        // number of devices.
        let _ = trainee.valid();
        trainee = frozen_blocks::quantized(config, trainee);
        let half = config.common_half();
        let half = half.filter(|&dtype| B::supports_dtype(device, dtype));
        let frozen = initial.frozen(&trainee, &config.stages)?;
        let half = half.filter(|_| !frozen.is_empty());
        if let Some(dtype) = half {
            trainee = with_half_weights(trainee, &frozen, dtype);
            B::memory_cleanup(device);
        }
        Ok(Start {
            trainee,
            initial,
            resume,
            in_half: half.is_some(),
        })
    }

    /// Options that all stages share.
    fn options(&self) -> RunOptions<'a> {
        let config = self.launch.config;
        RunOptions {
            folder: self.launch.folders.run.clone(),
            checkpoint_every: config.checkpoint_every,
            validate_every: config.validate_every,
            keep: config.keep_checkpoints,
            seed: config.seed,
            stop_after: None,
            left_out: Default::default(),
            topology: self.launch.topology,
            progress: self.launch.progress,
        }
    }

    /// Trains a stage of any kind; returns also whether it is complete.
    fn train_stage(
        &mut self,
        job: &StageJob<'_>,
        trainee: Trainee<B>,
    ) -> Result<(Trainee<B>, bool)> {
        check_features(job.config, &trainee)?;
        self.context.begin_stage(job.index);
        let (context, devices, config) = (&self.context, self.devices, job.config.clone());
        match (config.kind, &self.data[job.index]) {
            (StageKind::Clip, _) => train_stage(
                &ClipStage::new(context.scenes()?, config),
                job,
                trainee,
                devices,
            ),
            (StageKind::Sam, _) => train_stage(
                &SamStage::new(context.scenes()?, config),
                job,
                trainee,
                devices,
            ),
            (StageKind::Audio, _) => train_stage(
                &AudioStage::new(context.scenes()?, config)?,
                job,
                trainee,
                devices,
            ),
            (StageKind::Instruct, data) => {
                let stage = match data {
                    None => InstructStage::new(context.scenes()?, config)?,
                    Some(data) => InstructStage::with_data(context.stage(), data, config),
                };
                if !job.config.recompute {
                    return train_stage(&stage, job, trainee, devices);
                }
                let sparing = Trainee::<B::Sparing>::from_inner(trainee.valid());
                drop(trainee);
                let (trained, complete) = train_stage(&stage, job, sparing, devices)?;
                Ok((Trainee::from_inner(trained.valid()), complete))
            }
        }
    }

    /// Writes the finished model; if its frozen weights are held `in_half`, they are read again.
    fn export(&self, trainee: Trainee<B>, in_half: bool) -> Result<()> {
        if !self.writes() {
            return Ok(());
        }
        let Launch {
            config, folders, ..
        } = self.launch;
        let out = folders.run.join("model");
        if in_half {
            drop(trainee);
            export_checkpoint::<B>(config, folders, Which::Newest, &out, self.device)?;
            return Ok(());
        }
        export(&trainee, self.context.stage(), &out, self.device)
    }
}

/// Refuses to cache the features of encoders that the stage trains.
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
            let stage = stage.kind;
            return Err(RunError::TrainedFeatures { stage, encoder });
        }
    }
    Ok(())
}
