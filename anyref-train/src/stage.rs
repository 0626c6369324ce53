//! Trait of training stages: batches, losses and validation.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Tensor, backend::AutodiffBackend};

use crate::gradient_checkpointing::Checkpointed;
use crate::losses::scalar;
use crate::stage_error::StageError;
use crate::trainee::Trainee;

/// Task of a stage, and its data.
pub trait Stage<B: AutodiffBackend>: Sync {
    /// Data of one micro-batch, prepared on a loader thread.
    type Batch: Send;

    /// Batch of a step: a pure function of the step, so that a resumed run sees the same data.
    ///
    /// # Errors
    /// When the data of the step cannot be read or do not fit the model, or there are none.
    fn batch(&self, step: u64) -> Result<Self::Batch, StageError>;

    /// Losses of a batch.
    ///
    /// # Errors
    /// When the model lacks a part that the batch needs, or the folder of cached features cannot be
    /// read.
    fn loss(&self, trainee: &Trainee<B>, batch: &Self::Batch) -> Result<Losses<B>, StageError>;

    /// Number of positions that the language model reads in a batch, without padding.
    fn tokens(&self, _batch: &Self::Batch) -> usize {
        0
    }

    /// Scores on validation data; the first selects the best checkpoint (higher is better).
    ///
    /// # Errors
    /// When the validation data cannot be read or do not fit the model, and as
    /// [`loss`](Self::loss).
    fn validate(
        &self,
        trainee: &Trainee<B::InnerBackend>,
    ) -> Result<Vec<(String, f64)>, StageError>;
}

/// Losses by name, `[1]` each.
pub type Parts<B> = Vec<(&'static str, Tensor<B, 1>)>;

/// Losses of a batch.
#[derive(Debug)]
pub struct Losses<B: AutodiffBackend> {
    total: Tensor<B, 1>,
    parts: Parts<B>,
    checkpointed: Option<Checkpointed<B>>,
}

/// Result of one micro-batch.
pub(crate) struct MicroStep {
    /// Gradients of the trained parameters.
    pub(crate) gradients: GradientsParams,
    /// Losses by name.
    pub(crate) losses: Vec<(&'static str, f64)>,
}

impl<B: AutodiffBackend> Losses<B> {
    /// Losses with their whole graph: `total`, `[1]`, is minimised, the `parts`, `[1]` each, are
    /// logged.
    pub fn new(total: Tensor<B, 1>, parts: Parts<B>) -> Self {
        Self {
            total,
            parts,
            checkpointed: None,
        }
    }

    /// Sets the layers that were computed without a graph and are recomputed in the backward pass.
    pub(crate) fn with_checkpointed(mut self, checkpointed: Option<Checkpointed<B>>) -> Self {
        self.checkpointed = checkpointed;
        self
    }

    /// Value of the total loss.
    pub fn value(&self) -> f64 {
        scalar(self.total.clone())
    }

    /// Gradients of the total, multiplied by `factor`.
    pub fn gradients(self, trainee: &Trainee<B>, factor: f64) -> GradientsParams {
        let mut gradients = (self.total * factor).backward();
        let Some(checkpointed) = self.checkpointed else {
            return GradientsParams::from_module(&mut gradients, trainee);
        };
        let mut sum = GradientsAccumulator::new();
        let mut add = |gradients: &mut B::Gradients| {
            let gradients = GradientsParams::from_module(gradients, trainee);
            sum.accumulate(trainee, gradients);
        };
        checkpointed.backward(&mut gradients, &mut add);
        add(&mut gradients);
        sum.grads()
    }

    /// Gradients of the total, multiplied by `factor`, and the parts.
    pub(crate) fn backward(self, trainee: &Trainee<B>, factor: f64) -> MicroStep {
        let parts = self.parts.clone();
        let gradients = self.gradients(trainee, factor);
        let losses = parts.into_iter();
        MicroStep {
            gradients,
            losses: losses.map(|(name, value)| (name, scalar(value))).collect(),
        }
    }
}
