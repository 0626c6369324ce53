//! Training of any stage, on one device or several: what a stage is, and what its losses give.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use burn::module::{AutodiffModule, Module};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Tensor, backend::AutodiffBackend};

use super::checkpoint::Position;
use super::config::StageConfig;
use super::distributed::topology::Nodes;
use super::distributed::{Peer, PeerStopped};
use super::gradient_checkpointing::Segments;
use super::stage_loop::Running;
use crate::losses::scalar;
use crate::trainee::Trainee;

/// What a stage of training teaches, from which data.
pub trait Stage<B: AutodiffBackend>: Sync {
    /// What one step learns from, prepared on loader threads.
    type Batch: Send;

    /// The batch of a step: a pure function of the step, so that a resumed run sees the same data.
    ///
    /// # Errors
    /// When the data of the step cannot be read or do not fit the model, or there are none.
    fn batch(&self, step: u64) -> Result<Self::Batch>;

    /// The losses of a batch.
    ///
    /// # Errors
    /// When the model lacks what the batch needs, or the folder in which features are kept cannot be read.
    fn loss(&self, trainee: &Trainee<B>, batch: &Self::Batch) -> Result<Losses<B>>;

    /// Positions that the language model reads of a batch, padding left out.
    fn tokens(&self, _batch: &Self::Batch) -> usize {
        0
    }

    /// Scores on validation data; the first decides which checkpoint is best (higher is better).
    ///
    /// # Errors
    /// When the validation data cannot be read or do not fit the model, and as [`loss`](Self::loss).
    fn validate(&self, trainee: &Trainee<B::InnerBackend>) -> Result<Vec<(String, f64)>>;
}

/// Losses by name, `[1]` each.
pub type Parts<B> = Vec<(&'static str, Tensor<B, 1>)>;

/// A step's losses.
#[derive(Debug)]
pub struct Losses<B: AutodiffBackend> {
    total: Tensor<B, 1>,
    /// Its parts for the log, `[1]` each.
    pub parts: Parts<B>,
    segments: Option<Segments<B>>,
}

/// The gradients of one micro-batch and its losses by name.
pub type MicroStep = (GradientsParams, Vec<(&'static str, f64)>);

impl<B: AutodiffBackend> Losses<B> {
    /// Losses that have all of their graph; `total`, `[1]`, is minimised, the parts, `[1]` each, are for the log.
    pub fn new(total: Tensor<B, 1>, parts: Parts<B>) -> Self {
        Self {
            total,
            parts,
            segments: None,
        }
    }

    /// Sets what was computed on the way without a graph, and will be again.
    pub fn with_segments(mut self, segments: Option<Segments<B>>) -> Self {
        self.segments = segments;
        self
    }

    /// What is minimised.
    pub fn value(&self) -> f64 {
        scalar(self.total.clone())
    }

    /// The gradients of the total, multiplied by `factor`, and the parts.
    pub fn backward(self, trainee: &Trainee<B>, factor: f64) -> MicroStep {
        let mut gradients = (self.total * factor).backward();
        let gradients = match self.segments {
            None => GradientsParams::from_module(&mut gradients, trainee),
            Some(segments) => {
                let mut sum = GradientsAccumulator::new();
                let mut add = |gradients: &mut B::Gradients| {
                    let gradients = GradientsParams::from_module(gradients, trainee);
                    sum.accumulate(trainee, gradients);
                };
                segments.backward(&mut gradients, &mut add);
                add(&mut gradients);
                sum.grads()
            }
        };
        let parts = self.parts.into_iter();
        let parts = parts.map(|(name, value)| (name, scalar(value)));
        (gradients, parts.collect())
    }
}

/// How a run is carried out, apart from what is learned.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Folder of the run.
    pub folder: PathBuf,
    /// Checkpoint every so many steps.
    pub checkpoint_every: u64,
    /// Validate every so many steps.
    pub validate_every: u64,
    /// Checkpoints kept.
    pub keep: usize,
    /// Seed of what a step draws, such as dropout.
    pub seed: u64,
    /// Stop after so many steps of this process, to be resumed later.
    pub stop_after: Option<u64>,
    /// Parameters, by name, that checkpoints leave out, since the run has them from its start.
    pub left_out: BTreeSet<String>,
    /// Other machines that learn the same.
    pub nodes: Option<Nodes>,
}

/// What to say of a pattern of `trainable` that matches no parameter.
pub(super) fn idle_pattern(config: &StageConfig, pattern: usize) -> anyhow::Error {
    anyhow!(
        "stage {} trains nothing by {:?}: this pattern of `trainable` matches no parameter",
        config.kind,
        config.trainable[pattern]
    )
}

/// Runs one stage from `position` to its end; returns the trainee and whether the stage is complete.
///
/// Each of `devices` takes micro-batches of its own, [`StageConfig::accumulation`] of them a step, and their gradients
/// are averaged; the first logs, validates and writes the checkpoints. With [`RunOptions::nodes`] the devices of all
/// machines are one row, those of the first machine first.
///
/// # Errors
/// When a pattern of the stage is no regular expression or one of `trainable` matches no parameter, the device does not
/// compute in the stage's precision, or several devices of one process would recompute layers with dropout. When a
/// batch, a loss or a validation fails, too many steps in a row have no finite gradient, devices cannot work together
/// or one of them stops, or files of the run cannot be read or written.
pub fn train_stage<B: AutodiffBackend, S: Stage<B>>(
    stage: &S,
    config: &StageConfig,
    options: &RunOptions,
    trainee: Trainee<B>,
    resume: Option<(&Path, &Position)>,
    index: usize,
    devices: &[B::Device],
) -> Result<(Trainee<B>, bool)> {
    let job = Job {
        stage,
        config,
        options,
        resume,
        index,
    };
    config.check_dropout(trainee.anyref.llm.has_dropout(), devices.len())?;
    let nodes = options.nodes.as_ref();
    let (first, others) = match devices.split_first() {
        Some(several) if !several.1.is_empty() || nodes.is_some() => several,
        _ => return job.run(trainee, None),
    };
    let count = devices.len();
    let job = &job;
    let on = move |rank, device: &B::Device, trainee| {
        let peer = Peer::join(rank, count, nodes, device)?;
        job.run(trainee, Some(peer))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = others
            .iter()
            .enumerate()
            .map(|(index, device)| {
                // Leaves of its own, since graphs that share a leaf wait for one another.
                let own = Trainee::<B>::from_inner(trainee.valid().to_device(device));
                scope.spawn(move || on(index + 1, device, own).map(drop))
            })
            .collect();
        let mut outcome = on(0, first, trainee);
        for thread in threads {
            let ended = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // What stopped the first of them, and not what the others say of it.
            if let Err(error) = ended
                && (outcome.is_ok()
                    || outcome
                        .as_ref()
                        .is_err_and(|known| known.is::<PeerStopped>()))
            {
                outcome = Err(error);
            }
        }
        outcome
    })
}

/// A stage to be carried out, on one device or on each of several.
pub(super) struct Job<'a, S> {
    pub stage: &'a S,
    pub config: &'a StageConfig,
    pub options: &'a RunOptions,
    pub resume: Option<(&'a Path, &'a Position)>,
    pub index: usize,
}

impl<S> Job<'_, S> {
    fn run<B: AutodiffBackend>(
        &self,
        trainee: Trainee<B>,
        peer: Option<Peer<B>>,
    ) -> Result<(Trainee<B>, bool)>
    where
        S: Stage<B>,
    {
        Running::begin(self, trainee, peer)?.finish()
    }
}
