//! A stage under way on one device: step after step, with what is written down on the way.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::module::AutodiffModule;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::backend::AutodiffBackend;
use indicatif::{ProgressBar, ProgressStyle};
use regex::Regex;

use super::checkpoint::{self, Position, State, single};
use super::config::StageConfig;
use super::distributed::Peer;
use super::ema::Average;
use super::initial_weights::names_of_trained;
use super::log::MetricLog;
use super::optimizer::{Optimizer, OptimizerConfig, set_trainable};
use super::precision::{LossScale, Rounded, widened};
use super::trainer::{Job, MicroStep, Stage, idle_pattern};
use crate::trainee::Trainee;
use anyref_data::scenes::mix;

/// After so many steps in a row without a finite gradient a run stops.
const MAX_SKIPPED: u32 = 10;
/// Batches prepared ahead.
const PREFETCH: usize = 2;

/// A stage under way.
pub(super) struct Running<'a, B: AutodiffBackend, S> {
    job: &'a Job<'a, S>,
    trainee: Trainee<B>,
    optimizer: Optimizer<B>,
    position: Position,
    peer: Option<Peer<B>>,
    device: B::Device,
    /// The model in the type of values and gradients, where that is another than the weights'.
    half: Option<Rounded<B>>,
    /// The running mean of the weights, where there is one, and what the stage trains, by name.
    average: Option<(Average<B>, BTreeSet<String>)>,
    /// The first device alone writes.
    log: Option<MetricLog>,
    bar: ProgressBar,
}

/// Batches of a step, and how long they were waited for.
struct Prepared<T> {
    batches: Vec<T>,
    waited: f64,
}

impl<'a, B: AutodiffBackend, S: Stage<B>> Running<'a, B, S> {
    /// Takes up a stage at its start, or where a checkpoint left it.
    ///
    /// # Errors
    /// When a pattern of the stage is no regular expression or one of `trainable` matches no parameter, the device does
    /// not compute in the stage's precision, the checkpoint's optimizer cannot be read, another device differs or has
    /// stopped, or the log cannot be written.
    pub fn begin(job: &'a Job<'a, S>, trainee: Trainee<B>, peer: Option<Peer<B>>) -> Result<Self> {
        let config = job.config;
        let patterns = config.trainable_patterns()?;
        let names = names_of_trained(&trainee, std::slice::from_ref(config))?;
        // The mean goes on from what a checkpoint has for a model, or from the weights.
        let mean = config.ema_decay.map(|decay| Average::new(&trainee, decay));
        let trainee = match job.resume {
            Some((path, saved)) => checkpoint::load_live(path, saved, &names, trainee)?,
            None => trainee,
        };
        let average = mean.map(|mean| (mean, names));
        let (trainee, trained) = set_trainable::<B, _>(trainee, &patterns);
        if let Some(pattern) = trained.iter().position(|&count| count == 0) {
            return Err(idle_pattern(config, pattern));
        }
        let device = trainee.heads.logit_scale.val().device();
        if let Some(dtype) = config.precision.half()
            && !B::supports_dtype(&device, dtype)
        {
            bail!(
                "{} does not compute in {dtype:?}: leave `precision` of stage {} out, or give another",
                B::name(&device),
                config.kind
            );
        }
        let mut optimizer = optimizer(config)?;
        let mut position = Position {
            stage: job.index,
            loss_scale: LossScale::of(config.precision),
            ..Default::default()
        };
        if let Some((path, saved)) = job.resume {
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
                .fold(job.options.seed, |sum, byte| mix(sum ^ u64::from(byte)));
            peer.agree(&position, plan, &trainee)?;
        }
        let (log, bar) = match peer.as_ref().is_none_or(|peer| peer.rank() == 0) {
            true => {
                let file = job.options.folder.join("metrics.jsonl");
                let log = MetricLog::open(&file, job.index, position.step)?;
                (Some(log), progress(config, position.step))
            }
            false => (None, ProgressBar::hidden()),
        };
        let half = config.precision.half();
        let half = half.map(|dtype| Rounded::new(&trainee, dtype));
        Ok(Self {
            job,
            trainee,
            optimizer,
            position,
            peer,
            device,
            half,
            average,
            log,
            bar,
        })
    }

    /// Goes on to the end, or as far as is asked for; returns the trainee and whether the stage is complete.
    ///
    /// # Errors
    /// When a batch, a loss or a validation fails, `MAX_SKIPPED` steps in a row have no finite gradient, another device
    /// has stopped, or a checkpoint cannot be written.
    pub fn finish(mut self) -> Result<(Trainee<B>, bool)> {
        let Job {
            stage,
            config,
            options,
            ..
        } = self.job;
        let end = match options.stop_after {
            Some(steps) => config.steps.min(self.position.step + steps),
            None => config.steps,
        };
        let (rank, count) = self.rank();
        let micro_batches = config.accumulation;
        // The devices share the micro-batches of a step out in order.
        let share = move |step: u64| {
            let first = (step * count as u64 + rank as u64) * micro_batches;
            first..first + micro_batches
        };
        let ahead = self.position.step..end;
        std::thread::scope(|scope| -> Result<()> {
            let (sender, receiver) = sync_channel(PREFETCH);
            scope.spawn(move || {
                for micro in ahead.flat_map(share) {
                    if sender.send(stage.batch(micro)).is_err() {
                        return;
                    }
                }
            });
            while self.position.step < end {
                self.step(&receiver)?;
                self.write_down(self.position.step == end)?;
            }
            Ok(())
        })?;
        self.bar.abandon();
        if let Some(peer) = self.peer {
            peer.finish()?;
        }
        let complete = self.position.step == config.steps;
        let trainee = match self.average {
            Some((average, _)) => Trainee::from_inner(average.into_model()),
            None => self.trainee,
        };
        Ok((trainee, complete))
    }

    /// The place of this device among all, and how many they are.
    fn rank(&self) -> (usize, usize) {
        let peer = self.peer.as_ref();
        peer.map_or((0, 1), |peer| (peer.rank(), peer.count()))
    }

    /// Learns from the batches of one step.
    fn step(&mut self, receiver: &Receiver<Result<S::Batch>>) -> Result<()> {
        let start = Instant::now();
        self.seed();
        let Job { stage, config, .. } = self.job;
        let learning_rate = config.schedule().at(self.position.step);
        let Prepared { batches, waited } = self.prepared(receiver)?;
        let tokens: usize = batches.iter().map(|batch| stage.tokens(batch)).sum();
        let (_, count) = self.rank();
        let (gradients, mut parts) = self.gradients(batches)?;
        let (updated, norm) = self
            .optimizer
            .step(self.trainee.clone(), gradients, learning_rate);
        self.trainee = updated;
        let average = self.average.take();
        self.average = average.map(|(average, names)| {
            let average = average.after(self.position.step, &self.trainee);
            (average, names)
        });
        parts.extend(self.judge(norm)?);
        if self.position.skipped > 0 {
            parts.push(("skipped".into(), self.position.skipped as f64));
        }
        parts.push(("learning_rate".into(), learning_rate));
        parts.push(("gradient_norm".into(), norm));
        let seconds = start.elapsed().as_secs_f64();
        parts.push(("seconds".into(), seconds));
        parts.push(("stalled".into(), waited));
        parts.push(("stall_share".into(), waited / seconds));
        if tokens > 0 {
            // Those of the other devices are about as many.
            let read = (tokens * count) as f64;
            parts.push(("tokens_per_second".into(), read / seconds));
        }
        if let Some(log) = &mut self.log {
            log.write("train", self.job.index, self.position.step, &parts);
        }
        self.position.step += 1;
        self.bar.set_position(self.position.step);
        self.bar.set_message(summary(&parts));
        Ok(())
    }

    /// A resumed run draws what one without a stop draws, and each machine something else.
    fn seed(&self) {
        let peer = self.peer.as_ref();
        if peer.is_none_or(Peer::is_first_here) {
            let node = peer.map_or(0, Peer::node) as u64;
            let stage = mix(self.job.options.seed ^ mix(self.job.index as u64));
            let seed = mix(stage ^ self.position.step) ^ (node << 32);
            B::seed(&self.device, seed);
        }
    }

    fn prepared(&self, receiver: &Receiver<Result<S::Batch>>) -> Result<Prepared<S::Batch>> {
        let wait = Instant::now();
        let batches = (0..self.job.config.accumulation)
            .map(|_| receiver.recv().context("the loader stopped")?)
            .collect::<Result<Vec<_>>>()?;
        Ok(Prepared {
            batches,
            waited: wait.elapsed().as_secs_f64(),
        })
    }

    /// The gradients of all devices' batches, averaged, and the mean losses of this one's.
    fn gradients(&self, batches: Vec<S::Batch>) -> Result<(GradientsParams, Vec<(String, f64)>)> {
        let Job { stage, config, .. } = self.job;
        let (_, count) = self.rank();
        let micro_batches = batches.len() as u64;
        let way = Way {
            parallel: config.parallel,
            fresh: count > 1 || config.recompute_layers,
            half: self.half.as_ref(),
            scale: self.loss_scale(),
        };
        let mut accumulator = GradientsAccumulator::new();
        let mut parts: Vec<(String, f64)> = Vec::new();
        for micro_step in micro_steps(*stage, &self.trainee, batches, way) {
            let (gradients, losses) = micro_step?;
            accumulator.accumulate(&self.trainee, gradients);
            add_parts(&mut parts, &losses, micro_batches);
        }
        let gradients = match &self.peer {
            Some(peer) => peer.average(&self.trainee, accumulator.grads())?,
            None => accumulator.grads(),
        };
        Ok((gradients, parts))
    }

    /// What the loss is multiplied by.
    fn loss_scale(&self) -> f64 {
        self.position.loss_scale.map_or(1.0, |scale| scale.factor)
    }

    /// What follows from the norm of a step's gradient; the loss scale of the step, where there is one.
    fn judge(&mut self, norm: f64) -> Result<Option<(String, f64)>> {
        let scale = self.loss_scale();
        let position = &mut self.position;
        // A loss scale that is too large is not counted: it is halved for the next step.
        if norm.is_finite() || scale > 1.0 {
            position.skipped_in_a_row = 0;
        } else {
            position.skipped += 1;
            position.skipped_in_a_row += 1;
            self.bar.println(format!(
                "step {} has no finite gradient and is passed over ({} so far)",
                position.step, position.skipped
            ));
        }
        if position.skipped_in_a_row >= MAX_SKIPPED {
            bail!(
                "{} steps in a row had no finite gradient: lower the learning rate of stage {:?}; the last checkpoint is kept",
                position.skipped_in_a_row,
                self.job.config.kind
            );
        }
        let known = self.position.loss_scale.as_mut();
        Ok(known.map(|known| {
            *known = known.after(norm.is_finite());
            ("loss_scale".into(), scale)
        }))
    }

    /// Validates and writes checkpoints where it is time to; `last` is the last step for now.
    fn write_down(&mut self, last: bool) -> Result<()> {
        if self.log.is_none() {
            return Ok(());
        }
        let (step, options) = (self.position.step, self.job.options);
        let finished = step == self.job.config.steps;
        if finished || step.is_multiple_of(options.validate_every) {
            self.validate()?;
        }
        if last || step.is_multiple_of(options.checkpoint_every) {
            self.save("checkpoints", options.keep)?;
        }
        Ok(())
    }

    /// Validates, and keeps the best.
    fn validate(&mut self) -> Result<()> {
        let Job { stage, config, .. } = self.job;
        let (step, index) = (self.position.step, self.job.index);
        // In the type in which it is trained: what is frozen may be held in no other.
        let model = match config.precision.half() {
            Some(dtype) => Rounded::<B>::whole(self.model(), dtype),
            None => self.model(),
        };
        let scores = stage.validate(&model)?;
        if let Some(log) = &mut self.log {
            log.write("validation", index, step, &scores);
        }
        self.bar
            .println(format!("{} step {step}: {}", config.kind, summary(&scores)));
        let score = scores
            .first()
            .map(|(_, score)| single(*score))
            .filter(|score| score.is_finite());
        if score > self.position.best {
            self.position.best = score;
            self.save("best", 1)?;
        }
        Ok(())
    }

    fn save(&self, folder: &str, keep: usize) -> Result<()> {
        let options = self.job.options;
        let live = self.average.as_ref();
        let state = State {
            model: &self.model(),
            left_out: &options.left_out,
            live: live.map(|(_, trained)| (&self.trainee, trained)),
            optimizer: &self.optimizer,
            position: &self.position,
        };
        checkpoint::save(&options.folder.join(folder), &state, keep)?;
        Ok(())
    }

    /// What the stage has to show for itself: the running mean of the weights, or the weights.
    fn model(&self) -> Trainee<B::InnerBackend> {
        match &self.average {
            Some((average, _)) => average.model().clone(),
            None => self.trainee.valid(),
        }
    }
}

/// The optimizer of a stage, without any updates yet.
fn optimizer<B: AutodiffBackend>(config: &StageConfig) -> Result<Optimizer<B>> {
    let scales = config
        .learning_rate_scales
        .iter()
        .map(|(pattern, scale)| Ok((Regex::new(pattern)?, *scale)))
        .collect::<Result<Vec<_>>>()?;
    let settings = OptimizerConfig {
        weight_decay: config.weight_decay,
        clip_norm: config.clip_norm,
        epsilon: config.epsilon,
    };
    Ok(Optimizer::new(settings, scales).with_muon(config.muon_patterns()?))
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

/// Gradients of every micro-batch, in order. In `parallel` each is computed on a thread of its own, with
/// leaves of its own, since graphs that share a leaf wait for one another.
///
/// Leaves are new too where other threads compute others at the same time, or one graph is followed by others (segments):
/// burn-autodiff 0.21 forgets a leaf after a backward pass, and at the end of one it clears away every graph, of any
/// thread, that has no leaf and no tensor that is in use, as a graph of one layer is for the moment in which its output
/// becomes the input of the next (`GraphCleaner::cleanup_orphaned_entries`). That layer would go without its gradient.
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
