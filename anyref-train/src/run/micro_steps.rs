//! Gradients of the micro-batches of a step, computed in sequence or in parallel.

use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;

use super::mixed_precision::{HalfModel, unscaled};
use crate::stage::{MicroStep, Stage};
use crate::stage_error::StageError;
use crate::trainee::Trainee;

/// Settings of the computation of micro-batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct MicroSteps<'a> {
    /// Whether each micro-batch has its own thread.
    pub(super) parallel: bool,
    /// Whether each micro-batch has its own leaves: needed if other threads compute at the same
    /// time, or if one graph is followed by others (gradient checkpointing). burn-autodiff 0.21
    /// forgets a leaf after a backward pass, and at its end removes every graph, of any thread,
    /// that has neither a leaf nor a tensor in use (`GraphCleaner::cleanup_orphaned_entries`). The
    /// graph of one layer is in that state for the moment in which its output becomes the input of
    /// the next layer, and would lose its gradient.
    pub(super) own_leaves: bool,
    /// Model in half precision, if values and gradients are computed in it.
    pub(super) half: Option<&'a HalfModel>,
    /// Scale of the loss.
    pub(super) scale: f64,
}

impl MicroSteps<'_> {
    /// Gradients and losses of every micro-batch, in order. In `parallel` each is computed with its
    /// own leaves, because graphs that share a leaf wait for one another.
    pub(super) fn run<B: AutodiffBackend, S: Stage<B>>(
        self,
        stage: &S,
        trainee: &Trainee<B>,
        batches: Vec<S::Batch>,
    ) -> Vec<Result<MicroStep, StageError>> {
        let count = batches.len();
        let own = || match self.half {
            Some(half) => half.with(trainee),
            None => Trainee::from_inner(trainee.valid()),
        };
        let step = Step {
            factor: self.scale / count as f64,
            scale: self.half.map(|_| self.scale),
        };
        if !self.parallel || count == 1 {
            let own_leaves = self.own_leaves || self.half.is_some();
            let run = |batch| match own_leaves {
                true => step.run(stage, &own(), batch),
                false => step.run(stage, trainee, batch),
            };
            return batches.into_iter().map(run).collect();
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = batches
                .into_iter()
                .map(|batch| {
                    let own = own();
                    scope.spawn(move || step.run(stage, &own, batch))
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
}

/// Step of one micro-batch.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Factor of its loss.
    factor: f64,
    /// Loss scale to be divided out of its gradients when they are cast to f32, for half precision.
    scale: Option<f64>,
}

impl Step {
    fn run<B: AutodiffBackend, S: Stage<B>>(
        self,
        stage: &S,
        trainee: &Trainee<B>,
        batch: S::Batch,
    ) -> Result<MicroStep, StageError> {
        let losses = stage.loss(trainee, &batch)?;
        let mut step = losses.backward(trainee, self.factor);
        if let Some(scale) = self.scale {
            step.gradients = unscaled(trainee, step.gradients, scale);
        }
        Ok(step)
    }
}
