//! The training loop: batches in, checkpoints out, any stage.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use burn::module::{AutodiffModule, Module};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Tensor, backend::AutodiffBackend};
use indicatif::{ProgressBar, ProgressStyle};
use regex::Regex;

use super::checkpoint::{self, Position};
use super::config::StageConfig;
use super::log::MetricLog;
use super::nodes::Nodes;
use super::optimizer::{Optimizer, OptimizerConfig, set_trainable};
use super::peers::{Peer, PeerStopped};
use super::precision::{LossScale, Rounded, widened};
use super::segments::Segments;
use crate::data::split::mix;
use crate::losses::scalar;
use crate::trainee::Trainee;

/// What a stage of training teaches, from which data.
pub trait Stage<B: AutodiffBackend>: Sync {
    /// What one step learns from, prepared on loader threads.
    type Batch: Send;

    /// The batch of a step: a pure function of the step, so that a resumed run sees the same data.
    fn batch(&self, step: u64) -> Result<Self::Batch>;

    /// The losses of a batch.
    fn loss(&self, trainee: &Trainee<B>, batch: &Self::Batch) -> Result<Losses<B>>;

    /// Positions that the language model reads of a batch, padding left out.
    fn tokens(&self, _batch: &Self::Batch) -> usize {
        0
    }

    /// Scores on validation data; the first decides which checkpoint is best (higher is better).
    fn validate(&self, trainee: &Trainee<B::InnerBackend>) -> Result<Vec<(String, f64)>>;
}

/// A step's losses.
#[derive(Debug)]
pub struct Losses<B: AutodiffBackend> {
    /// What is minimised, `[1]`.
    pub total: Tensor<B, 1>,
    /// Its parts for the log, `[1]` each.
    pub parts: Vec<(&'static str, Tensor<B, 1>)>,
    /// What was computed on the way without a graph, and will be again.
    pub segments: Option<Segments<B>>,
}

impl<B: AutodiffBackend> Losses<B> {
    /// Losses that have all of their graph.
    pub fn new(total: Tensor<B, 1>, parts: Vec<(&'static str, Tensor<B, 1>)>) -> Self {
        Self {
            total,
            parts,
            segments: None,
        }
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

/// After so many steps in a row without a finite gradient a run stops.
const MAX_SKIPPED: u32 = 10;
/// Batches prepared ahead.
const PREFETCH: usize = 2;

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
    let threads = devices.len() > 1 || (config.parallel && config.accumulation > 1);
    if config.recompute_layers && threads && trainee.anyref.llm.has_dropout() {
        bail!(
            "stage {} recomputes layers with dropout, which has to be drawn a second time without others drawing: leave \
             `recompute_layers` or `parallel` out, set `lora_dropout` to 0, or give each device a process (`--nodes`)",
            config.kind
        );
    }
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
struct Job<'a, S> {
    stage: &'a S,
    config: &'a StageConfig,
    options: &'a RunOptions,
    resume: Option<(&'a Path, &'a Position)>,
    index: usize,
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
        let Self {
            stage,
            config,
            options,
            resume,
            index,
        } = *self;
        let patterns = config.trainable_patterns()?;
        let (mut trainee, trained) = set_trainable::<B, _>(trainee, &patterns);
        if let Some(pattern) = trained.iter().position(|&count| count == 0) {
            return Err(idle_pattern(config, pattern));
        }
        let scales = config
            .learning_rate_scales
            .iter()
            .map(|(pattern, scale)| Ok((Regex::new(pattern)?, *scale)))
            .collect::<Result<Vec<_>>>()?;
        let mut optimizer = Optimizer::<B>::new(
            OptimizerConfig {
                weight_decay: config.weight_decay,
                clip_norm: config.clip_norm,
                epsilon: config.epsilon,
            },
            scales,
        )
        .with_muon(config.muon_patterns()?);
        let device = trainee.heads.logit_scale.val().device();
        let mut position = Position {
            stage: index,
            step: 0,
            updates: Default::default(),
            best: None,
            loss_scale: LossScale::of(config.precision),
        };
        if let Some(dtype) = config.precision.half()
            && !B::supports_dtype(&device, dtype)
        {
            bail!(
                "{} does not compute in {dtype:?}: leave `precision` of stage {} out, or give another",
                B::name(&device),
                config.kind
            );
        }
        if let Some((path, saved)) = resume {
            checkpoint::load_optimizer(path, saved, &mut optimizer, &device)?;
            // The scale of a run that went on in another precision is not this one's.
            let first = position.loss_scale;
            position = saved.clone();
            position.loss_scale = first.map(|first| saved.loss_scale.unwrap_or(first));
        }
        if let Some(peer) = &peer {
            let plan = serde_json::to_string(config)?;
            let plan = plan
                .bytes()
                .fold(options.seed, |sum, byte| mix(sum ^ u64::from(byte)));
            peer.agree(&position, plan, &trainee)?;
        }
        let checkpoints = options.folder.join("checkpoints");
        let (rank, count) = peer
            .as_ref()
            .map_or((0, 1), |peer| (peer.rank(), peer.count()));
        let is_first = rank == 0;
        let mut log = match is_first {
            true => {
                let file = options.folder.join("metrics.jsonl");
                Some(MetricLog::open(&file, index, position.step)?)
            }
            false => None,
        };
        let schedule = config.schedule();
        let end = match options.stop_after {
            Some(steps) => config.steps.min(position.step + steps),
            None => config.steps,
        };
        let bar = match is_first {
            true => progress(config, position.step),
            false => ProgressBar::hidden(),
        };
        let micro_batches = config.accumulation.max(1);
        let half = config.precision.half();
        let half = half.map(|dtype| Rounded::new(&trainee, dtype));

        std::thread::scope(|scope| -> Result<()> {
            let (sender, receiver) = sync_channel(PREFETCH);
            // The devices share the micro-batches of a step out in order.
            let share = move |step: u64| {
                let first = (step * count as u64 + rank as u64) * micro_batches;
                first..first + micro_batches
            };
            let ahead = position.step..end;
            scope.spawn(move || {
                for micro in ahead.flat_map(share) {
                    if sender.send(stage.batch(micro)).is_err() {
                        return;
                    }
                }
            });
            let mut skipped = 0;
            while position.step < end {
                let start = Instant::now();
                if peer.as_ref().is_none_or(Peer::is_first_here) {
                    // A resumed run draws what one without a stop draws, and each machine something else.
                    let node = peer.as_ref().map_or(0, Peer::node) as u64;
                    let stage = mix(options.seed ^ mix(index as u64));
                    B::seed(&device, mix(stage ^ position.step) ^ (node << 32));
                }
                let learning_rate = schedule.at(position.step);
                let wait = Instant::now();
                let batches = (0..micro_batches)
                    .map(|_| receiver.recv().context("the loader stopped")?)
                    .collect::<Result<Vec<_>>>()?;
                let waited = wait.elapsed().as_secs_f64();
                let tokens: usize = batches.iter().map(|batch| stage.tokens(batch)).sum();
                let mut accumulator = GradientsAccumulator::new();
                let mut parts: Vec<(String, f64)> = Vec::new();
                let scale = position.loss_scale.map_or(1.0, |scale| scale.factor);
                let way = Way {
                    parallel: config.parallel,
                    fresh: count > 1 || config.recompute_layers,
                    half: half.as_ref(),
                    scale,
                };
                for micro_step in micro_steps(stage, &trainee, batches, way) {
                    let (gradients, losses) = micro_step?;
                    accumulator.accumulate(&trainee, gradients);
                    add_parts(&mut parts, &losses, micro_batches);
                }
                let gradients = match &peer {
                    Some(peer) => peer.average(&trainee, accumulator.grads())?,
                    None => accumulator.grads(),
                };
                let (updated, norm) = optimizer.step(trainee.clone(), gradients, learning_rate);
                trainee = updated;
                // A loss scale that is too large is not counted: it is halved for the next step.
                skipped = match norm.is_finite() || scale > 1.0 {
                    true => 0,
                    false => skipped + 1,
                };
                if let Some(known) = &mut position.loss_scale {
                    *known = known.after(norm.is_finite());
                    parts.push(("loss_scale".into(), scale));
                }
                if skipped >= MAX_SKIPPED {
                    bail!(
                        "{skipped} steps in a row had no finite gradient: lower the learning rate of stage {:?}; the last checkpoint is kept",
                        config.kind
                    );
                }
                parts.push(("learning_rate".into(), learning_rate));
                parts.push(("gradient_norm".into(), norm));
                let seconds = start.elapsed().as_secs_f64();
                parts.push(("seconds".into(), seconds));
                parts.push(("stalled".into(), waited));
                if tokens > 0 {
                    // Those of the other devices are about as many.
                    let read = (tokens * count) as f64;
                    parts.push(("tokens_per_second".into(), read / seconds));
                }
                if let Some(log) = &mut log {
                    log.write("train", index, position.step, &parts)?;
                }
                position.step += 1;
                bar.set_position(position.step);
                bar.set_message(summary(&parts));

                let Some(log) = &mut log else {
                    continue;
                };
                let finished = position.step == config.steps;
                if finished || position.step.is_multiple_of(options.validate_every) {
                    let scores = stage.validate(&trainee.valid())?;
                    log.write("validation", index, position.step, &scores)?;
                    bar.println(format!(
                        "{} step {}: {}",
                        config.kind,
                        position.step,
                        summary(&scores)
                    ));
                    let score = scores
                        .first()
                        .map(|(_, score)| *score)
                        .filter(|score| score.is_finite());
                    if score > position.best {
                        position.best = score;
                        let best = options.folder.join("best");
                        let left_out = &options.left_out;
                        checkpoint::save(
                            &best,
                            &trainee,
                            &optimizer,
                            position.clone(),
                            left_out,
                            1,
                        )?;
                    }
                }
                if finished
                    || position.step == end
                    || position.step.is_multiple_of(options.checkpoint_every)
                {
                    checkpoint::save(
                        &checkpoints,
                        &trainee,
                        &optimizer,
                        position.clone(),
                        &options.left_out,
                        options.keep,
                    )?;
                }
            }
            Ok(())
        })?;
        bar.abandon();
        if let Some(peer) = peer {
            peer.finish()?;
        }
        Ok((trainee, position.step == config.steps))
    }
}

fn progress(config: &StageConfig, done: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix} {bar:30} {pos}/{len} {elapsed_precise} left {eta_precise} {msg}",
    )
    .expect("a valid template");
    let bar = ProgressBar::new(config.steps)
        .with_style(style)
        .with_prefix(config.kind.to_string());
    bar.set_position(done);
    bar.reset_eta();
    bar
}

/// How micro-batches are computed.
#[derive(Debug, Clone, Copy)]
struct Way<'a, B: AutodiffBackend> {
    /// Each on a thread of its own.
    parallel: bool,
    /// On leaves of its own.
    fresh: bool,
    /// The model in the type of values and gradients, where that is another than the weights'.
    half: Option<&'a Rounded<B>>,
    /// What the loss is multiplied by for it.
    scale: f64,
}

/// The gradients of one micro-batch and its losses by name.
pub type MicroStep = (GradientsParams, Vec<(&'static str, f64)>);

/// Gradients of every micro-batch, in order. In `parallel` each is computed on a thread of its own, with
/// leaves of its own, since graphs that share a leaf wait for one another.
///
/// Leaves are new too where other threads compute others at the same time, or the graph is in segments: burn-autodiff 0.21 forgets a leaf after a backward
/// pass, and at the end of one it clears away every graph, of any thread, that has no leaf and no tensor that is in
/// use, as a graph of one layer is for the moment in which its output becomes the input of the next
/// (`GraphCleaner::cleanup_orphaned_entries`). That layer would go without its gradient.
fn micro_steps<B: AutodiffBackend, S: Stage<B>>(
    stage: &S,
    trainee: &Trainee<B>,
    batches: Vec<S::Batch>,
    way: Way<'_, B>,
) -> Vec<Result<MicroStep>> {
    let count = batches.len() as f64;
    let step = |trainee: &Trainee<B>, batch: S::Batch| -> Result<MicroStep> {
        let losses = stage.loss(trainee, &batch)?;
        let (mut gradients, parts) = losses.backward(trainee, way.scale / count);
        if way.half.is_some() {
            gradients = widened(trainee, gradients, way.scale);
        }
        Ok((gradients, parts))
    };
    let fresh = || match way.half {
        Some(rounded) => rounded.with(trainee),
        None => Trainee::from_inner(trainee.valid()),
    };
    if !way.parallel || batches.len() == 1 {
        let step = |batch| match way.fresh || way.half.is_some() {
            true => step(&fresh(), batch),
            false => step(trainee, batch),
        };
        return batches.into_iter().map(step).collect();
    }
    std::thread::scope(|scope| {
        let step = &step;
        let threads: Vec<_> = batches
            .into_iter()
            .map(|batch| {
                let own = fresh();
                scope.spawn(move || step(&own, batch))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// Adds a micro-batch's losses to the step's means.
fn add_parts(sums: &mut Vec<(String, f64)>, parts: &[(&'static str, f64)], count: u64) {
    for (name, value) in parts {
        let value = value / count as f64;
        match sums.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += value,
            None => sums.push(((*name).to_owned(), value)),
        }
    }
}

fn summary(parts: &[(String, f64)]) -> String {
    let shown: Vec<_> = parts
        .iter()
        .filter(|(name, _)| name != "learning_rate")
        .map(|(name, value)| format!("{name} {value:.3}"))
        .collect();
    shown.join("  ")
}
