//! Loop of a stage on one device: step after step, with log, validation and checkpoints.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use anyref_data::scenes::mix;
use anyref_ops::DeviceWatch;
use burn::module::AutodiffModule;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::backend::AutodiffBackend;
use regex::Regex;

use super::checkpoint::{self, Position, State, single};
use super::distributed::Worker;
use super::ema::Ema;
use super::error::{Result, RunError};
use super::initial_weights::trained_names;
use super::job::StageJob;
use super::loss_scale::LossScale;
use super::metric_log::MetricLog;
use super::micro_steps::MicroSteps;
use super::mixed_precision::{HalfModel, in_half};
use super::optimizer::{Optimizer, OptimizerConfig, set_trainable};
use crate::config::StageConfig;
use crate::stage::{MicroStep, Stage};
use crate::stage_error::StageError;
use crate::trainee::Trainee;

/// Number of consecutive steps without a finite gradient after which a run stops.
const MAX_SKIPPED: u32 = 10;
/// Number of batches prepared ahead.
const PREFETCH: usize = 2;

/// Stage in progress.
pub(super) struct StageLoop<'a, B: AutodiffBackend, S> {
    stage: &'a S,
    job: &'a StageJob<'a>,
    optimizer: Optimizer<B>,
    position: Position,
    worker: Option<Worker<B>>,
    device: B::Device,
    /// Frozen weights in half precision, if values and gradients are computed in it.
    half: Option<HalfModel>,
    ema: Option<Ema<B>>,
    /// Names of the parameters that the stage trains.
    trained: BTreeSet<String>,
    /// Log; only the first device has one, and only it writes.
    log: Option<MetricLog>,
}

/// Batches of a step, and the seconds that the step waited for them.
struct Prepared<T> {
    batches: Vec<T>,
    waited: f64,
}

impl<'a, B: AutodiffBackend, S: Stage<B>> StageLoop<'a, B, S> {
    /// Trains from the start of the stage, or from a checkpoint of it, to the end, or for the
    /// requested number of steps; returns the trainee and whether the stage is complete.
    ///
    /// # Errors
    /// When a pattern of the stage is no regular expression or one of `trainable` matches no
    /// parameter, the device does not compute in the stage's precision, the checkpoint's optimizer
    /// cannot be read, another device differs or has stopped, or the log cannot be written. When a
    /// batch, a loss or a validation fails, `MAX_SKIPPED` consecutive steps have no finite
    /// gradient, or a checkpoint cannot be written. When a thread of a device panicked, after which
    /// weights are wrong: no checkpoint is written then.
    pub(super) fn run(
        stage: &'a S,
        job: &'a StageJob<'a>,
        trainee: Trainee<B>,
        worker: Option<Worker<B>>,
    ) -> Result<(Trainee<B>, bool)> {
        let watch = DeviceWatch::start();
        let (mut this, trainee) = Self::begin(stage, job, trainee, worker)?;
        let start = this.position.step;
        let steps = job.config.steps;
        let end = match job.options.stop_after {
            Some(more) => steps.min(start + more),
            None => steps,
        };
        let micro_batches = this.micro_batches(start..end);
        let trainee = std::thread::scope(|scope| -> Result<_> {
            let (sender, receiver) = sync_channel(PREFETCH);
            scope.spawn(move || {
                for micro_batch in micro_batches {
                    if sender.send(stage.batch(micro_batch)).is_err() {
                        return;
                    }
                }
            });
            let mut trainee = trainee;
            while this.position.step < end {
                // A step owns the only copy of the weights, so that each is freed once updated.
                trainee = this.step(trainee, &receiver)?;
                watch.check()?;
                this.validate_and_save(&trainee, this.position.step == end)?;
            }
            Ok(trainee)
        })?;
        if this.log.is_some() {
            job.options.progress.stage_ended();
        }
        if let Some(worker) = this.worker {
            worker.finish()?;
        }
        let trainee = match this.ema {
            Some(ema) => Trainee::from_inner(ema.into_model()),
            None => trainee,
        };
        Ok((trainee, this.position.step == steps))
    }

    /// Sets the trained parameters, and prepares optimizer, position and log.
    fn begin(
        stage: &'a S,
        job: &'a StageJob<'a>,
        trainee: Trainee<B>,
        worker: Option<Worker<B>>,
    ) -> Result<(Self, Trainee<B>)> {
        let StageJob {
            config,
            options,
            resume,
            index,
        } = *job;
        let patterns = config.trainable_patterns()?;
        let trained = trained_names(&trainee, std::slice::from_ref(config))?;
        // The EMA continues from the model of a checkpoint, or starts from the weights.
        let ema = config.ema_decay.map(|decay| Ema::new(&trainee, decay));
        let trainee = match resume {
            Some((path, saved)) => checkpoint::load_live(path, saved, &trained, trainee)?,
            None => trainee,
        };
        let (trainee, counts) = set_trainable::<B, _>(trainee, &patterns);
        if let Some(pattern) = counts.iter().position(|&count| count == 0) {
            return Err(config.idle_pattern(pattern).into());
        }
        let device = trainee.heads.logit_scale.val().device();
        let half = config.precision.half();
        if let Some(dtype) = half
            && !B::supports_dtype(&device, dtype)
        {
            return Err(RunError::Precision {
                device: B::name(&device),
                dtype,
                stage: config.kind,
            });
        }
        let mut optimizer = optimizer(config)?;
        let position = take_up(job, &mut optimizer, &device)?;
        if let Some(worker) = &worker {
            let settings = serde_json::to_string(config)?;
            let settings = settings
                .bytes()
                .fold(options.seed, |sum, byte| mix(sum ^ u64::from(byte)));
            worker.check_same(&position, settings, &trainee)?;
        }
        let first = worker.as_ref().is_none_or(|worker| worker.rank() == 0);
        let log = first.then(|| {
            let file = options.folder.join("metrics.jsonl");
            MetricLog::open(&file, index, position.step)
        });
        let log = log.transpose()?;
        if first {
            options.progress.stage_started(config, position.step);
        }
        let this = Self {
            stage,
            job,
            optimizer,
            position,
            worker,
            device,
            half: half.map(|dtype| HalfModel::new(&trainee, dtype)),
            ema,
            trained,
            log,
        };
        Ok((this, trainee))
    }

    /// Indices of this device's micro-batches in some steps: the devices share the micro-batches of
    /// a step in order.
    fn micro_batches(&self, steps: Range<u64>) -> impl Iterator<Item = u64> + Send + use<B, S> {
        let (rank, count) = self.rank();
        let each = self.job.config.accumulation;
        steps.flat_map(move |step| {
            let first = (step * count as u64 + rank as u64) * each;
            first..first + each
        })
    }

    /// Rank of this device among all, and their number.
    fn rank(&self) -> (usize, usize) {
        let worker = self.worker.as_ref();
        worker.map_or((0, 1), |worker| (worker.rank(), worker.count()))
    }

    /// Trains on the batches of one step.
    fn step(
        &mut self,
        trainee: Trainee<B>,
        receiver: &Receiver<Result<S::Batch, StageError>>,
    ) -> Result<Trainee<B>> {
        let start = Instant::now();
        self.seed();
        let StageJob {
            config,
            index,
            options,
            ..
        } = *self.job;
        let learning_rate = config.schedule().at(self.position.step);
        let Prepared { batches, waited } = self.prepared(receiver)?;
        let tokens = batches.iter().map(|batch| self.stage.tokens(batch));
        let tokens: usize = tokens.sum();
        let (_, count) = self.rank();
        let (gradients, mut metrics) = self.gradients(&trainee, batches)?;
        let (trainee, norm) = self.optimizer.step(trainee, gradients, learning_rate);
        let ema = self.ema.take();
        self.ema = ema.map(|ema| ema.after(self.position.step, &trainee));
        metrics.extend(self.count_skipped(norm)?);
        if self.position.skipped > 0 {
            metrics.push(("skipped".into(), self.position.skipped as f64));
        }
        metrics.push(("learning_rate".into(), learning_rate));
        metrics.push(("gradient_norm".into(), norm));
        let seconds = start.elapsed().as_secs_f64();
        metrics.push(("seconds".into(), seconds));
        metrics.push(("stalled".into(), waited));
        metrics.push(("stall_share".into(), waited / seconds));
        if tokens > 0 {
            // The other devices read about as many tokens.
            let read = (tokens * count) as f64;
            metrics.push(("tokens_per_second".into(), read / seconds));
        }
        if let Some(log) = &mut self.log {
            log.write("train", index, self.position.step, &metrics);
            options
                .progress
                .step_ended(self.position.step + 1, &metrics);
        }
        self.position.step += 1;
        Ok(trainee)
    }

    /// Seeds the backend, so that a resumed run draws the same numbers as an uninterrupted one, and
    /// each machine draws others.
    fn seed(&self) {
        let worker = self.worker.as_ref();
        if worker.is_none_or(Worker::is_first_here) {
            let node = worker.map_or(0, Worker::node) as u64;
            let stage = mix(self.job.options.seed ^ mix(self.job.index as u64));
            let seed = mix(stage ^ self.position.step) ^ (node << 32);
            B::seed(&self.device, seed);
        }
    }

    fn prepared(
        &self,
        receiver: &Receiver<Result<S::Batch, StageError>>,
    ) -> Result<Prepared<S::Batch>> {
        let wait = Instant::now();
        let batches = (0..self.job.config.accumulation)
            .map(|_| Ok(receiver.recv().map_err(|_| RunError::LoaderStopped)??))
            .collect::<Result<Vec<_>>>()?;
        Ok(Prepared {
            batches,
            waited: wait.elapsed().as_secs_f64(),
        })
    }

    /// Averaged gradients of all devices' batches, and the mean losses of this device's.
    fn gradients(
        &self,
        trainee: &Trainee<B>,
        batches: Vec<S::Batch>,
    ) -> Result<(GradientsParams, Vec<(String, f64)>)> {
        let config = self.job.config;
        let (_, count) = self.rank();
        let micro_batches = batches.len() as u64;
        let micro_steps = MicroSteps {
            parallel: config.parallel,
            own_leaves: count > 1 || config.recompute_layers,
            half: self.half.as_ref(),
            scale: self.loss_scale(),
        };
        let mut accumulator = GradientsAccumulator::new();
        let mut means: Vec<(String, f64)> = Vec::new();
        for micro_step in micro_steps.run(self.stage, trainee, batches) {
            let MicroStep { gradients, losses } = micro_step?;
            accumulator.accumulate(trainee, gradients);
            add_losses(&mut means, &losses, micro_batches);
        }
        let gradients = match &self.worker {
            Some(worker) => worker.average(trainee, accumulator.grads())?,
            None => accumulator.grads(),
        };
        Ok((gradients, means))
    }

    /// Scale of the loss.
    fn loss_scale(&self) -> f64 {
        self.position.loss_scale.map_or(1.0, |scale| scale.factor)
    }

    /// Counts a step whose gradient has a `norm` that is not finite, and adjusts the loss scale;
    /// returns the scale of the step, if there is one.
    fn count_skipped(&mut self, norm: f64) -> Result<Option<(String, f64)>> {
        let scale = self.loss_scale();
        let position = &mut self.position;
        // A step with too large a loss scale is not counted: the scale is halved for the next step.
        if norm.is_finite() || scale > 1.0 {
            position.skipped_in_a_row = 0;
        } else {
            position.skipped += 1;
            position.skipped_in_a_row += 1;
            if self.log.is_some() {
                log::warn!(
                    "step {} has no finite gradient and is passed over ({} so far)",
                    position.step,
                    position.skipped
                );
            }
        }
        if position.skipped_in_a_row >= MAX_SKIPPED {
            return Err(RunError::NoGradient {
                steps: position.skipped_in_a_row,
                stage: self.job.config.kind,
            });
        }
        let known = self.position.loss_scale.as_mut();
        Ok(known.map(|known| {
            *known = known.after(norm.is_finite());
            ("loss_scale".into(), scale)
        }))
    }

    /// Validates and writes checkpoints when due; `last` is whether this is the last step for now.
    fn validate_and_save(&mut self, trainee: &Trainee<B>, last: bool) -> Result<()> {
        if self.log.is_none() {
            return Ok(());
        }
        let (step, options) = (self.position.step, self.job.options);
        let finished = step == self.job.config.steps;
        if finished || step.is_multiple_of(options.validate_every) {
            self.validate(trainee)?;
        }
        if last || step.is_multiple_of(options.checkpoint_every) {
            self.save(trainee, "checkpoints", options.keep)?;
        }
        Ok(())
    }

    /// Validates, and saves a checkpoint if the score is the best so far.
    fn validate(&mut self, trainee: &Trainee<B>) -> Result<()> {
        let StageJob {
            config,
            index,
            options,
            ..
        } = *self.job;
        let step = self.position.step;
        // Cast to the type of the steps: frozen weights may be held in no other.
        let model = match config.precision.half() {
            Some(dtype) => in_half(self.model(trainee), dtype),
            None => self.model(trainee),
        };
        let scores = self.stage.validate(&model)?;
        if let Some(log) = &mut self.log {
            log.write("validation", index, step, &scores);
        }
        options.progress.validated(config, step, &scores);
        let score = scores
            .first()
            .map(|(_, score)| single(*score))
            .filter(|score| score.is_finite());
        if score > self.position.best {
            self.position.best = score;
            self.save(trainee, "best", 1)?;
        }
        Ok(())
    }

    fn save(&self, trainee: &Trainee<B>, folder: &str, keep: usize) -> Result<()> {
        let options = self.job.options;
        let live = self.ema.as_ref();
        let state = State {
            model: &self.model(trainee),
            left_out: &options.left_out,
            live: live.map(|_| (trainee, &self.trained)),
            optimizer: &self.optimizer,
            position: &self.position,
        };
        checkpoint::save(&options.folder.join(folder), &state, keep)?;
        Ok(())
    }

    /// Model that the stage validates and saves: the EMA, or the weights.
    fn model(&self, trainee: &Trainee<B>) -> Trainee<B::InnerBackend> {
        match &self.ema {
            Some(ema) => ema.model().clone(),
            None => trainee.valid(),
        }
    }
}

/// Position at the start of a stage, or of a checkpoint, whose moments are restored into
/// `optimizer`.
fn take_up<B: AutodiffBackend>(
    job: &StageJob<'_>,
    optimizer: &mut Optimizer<B>,
    device: &B::Device,
) -> Result<Position> {
    let loss_scale = LossScale::of(job.config.precision);
    let Some((path, saved)) = job.resume else {
        return Ok(Position {
            stage: job.index,
            loss_scale,
            ..Default::default()
        });
    };
    checkpoint::load_optimizer(path, saved, optimizer, device)?;
    Ok(Position {
        // A scale saved for another precision is dropped.
        loss_scale: loss_scale.map(|first| saved.loss_scale.unwrap_or(first)),
        ..saved.clone()
    })
}

/// Optimizer of a stage, without updates.
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

/// Adds the losses of one of `count` micro-batches to the means of the step.
fn add_losses(means: &mut Vec<(String, f64)>, losses: &[(&'static str, f64)], count: u64) {
    for (name, value) in losses {
        let value = value / count as f64;
        match means.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += value,
            None => means.push(((*name).to_owned(), value)),
        }
    }
}
