//! Gradients of the micro-batches of a step, one after the other or at the same time.

use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;

use super::mixed_precision::{HalfModel, unscaled};
use crate::stage::{MicroStep, Stage};
use crate::stage_error::StageError;
use crate::trainee::Trainee;

/// Manner in which micro-batches are computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct MicroSteps<'a> {
    /// Each on a thread of its own.
    pub(super) parallel: bool,
    /// On leaves of its own: where other threads compute others at the same time, or one graph is
    /// followed by others (gradient checkpointing). burn-autodiff 0.21 forgets a leaf after a
    /// backward pass, and at the end of one it clears away every graph, of any thread, that has no
    /// leaf and no tensor that is in use, as a graph of one layer is for the moment in which its
    /// output becomes the input of the next (`GraphCleaner::cleanup_orphaned_entries`). That layer
    /// would go without its gradient.
    pub(super) own_leaves: bool,
    /// Weights in half precision, where values and gradients are computed in that.
    pub(super) half: Option<&'a HalfModel>,
    /// Factor of the loss.
    pub(super) scale: f64,
}

impl MicroSteps<'_> {
    /// Gradients and losses of every micro-batch, in order. In `parallel` each is computed with
    /// leaves of its own, since graphs that share a leaf wait for one another.
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

/// One of the micro-batches.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Factor of its loss.
    factor: f64,
    /// Scale that its gradients lose when they become f32, for half precision.
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
