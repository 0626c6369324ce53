//! Training of one stage, on one device or several.

use burn::module::{AutodiffModule, Module};
use burn::tensor::backend::AutodiffBackend;

use super::distributed::{DistributedError, Worker};
use super::error::{Result, RunError};
use super::job::StageJob;
use super::stage_loop::StageLoop;
use crate::stage::Stage;
use crate::trainee::Trainee;

/// Trains one stage to its end, or for the requested number of steps; returns the trainee and
/// whether the stage is complete.
///
/// Each of `devices` takes [`accumulation`](crate::config::StageConfig::accumulation) micro-batches
/// of its own a step, and their gradients are averaged; the first device logs, validates and writes
/// the checkpoints. With a [`topology`](super::RunOptions::topology) the devices of all machines
/// are ranked in order of their machines.
///
/// # Errors
/// When a pattern of the stage is no regular expression or one of `trainable` matches no parameter,
/// the device does not compute in the stage's precision, or several devices of one process would
/// recompute layers with dropout. When a batch, a loss or a validation fails, too many consecutive
/// steps have no finite gradient, devices cannot work together or one of them stops, or files of
/// the run cannot be read or written.
pub fn train_stage<B: AutodiffBackend, S: Stage<B>>(
    stage: &S,
    job: &StageJob<'_>,
    trainee: Trainee<B>,
    devices: &[B::Device],
) -> Result<(Trainee<B>, bool)> {
    let dropout = trainee.anyref.llm.has_dropout();
    job.config.check_dropout(dropout, devices.len())?;
    let topology = job.options.topology;
    let (first, others) = match devices.split_first() {
        Some(several) if !several.1.is_empty() || topology.is_some() => several,
        _ => return StageLoop::run(stage, job, trainee, None),
    };
    let count = devices.len();
    let train = |rank, device: &B::Device, trainee| {
        let worker = Worker::join(rank, count, topology, device)?;
        StageLoop::run(stage, job, trainee, Some(worker))
    };
    let train = &train;
    std::thread::scope(|scope| {
        let threads: Vec<_> = others
            .iter()
            .enumerate()
            .map(|(index, device)| {
                // A copy with its own leaves, because graphs that share a leaf wait for one
                // another.
                let own = Trainee::<B>::from_inner(trainee.valid().to_device(device));
                scope.spawn(move || train(index + 1, device, own).map(drop))
            })
            .collect();
        let mut outcome = train(0, first, trainee);
        for thread in threads {
            let ended = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // The error of the device that failed first, not those of the others about it.
            if let Err(error) = ended
                && (outcome.is_ok() || outcome.as_ref().is_err_and(is_about_another))
            {
                outcome = Err(error);
            }
        }
        outcome
    })
}

/// Whether an error only tells that another device has failed.
fn is_about_another(error: &RunError) -> bool {
    matches!(
        error,
        RunError::Distributed(DistributedError::WorkerStopped)
    )
}
