//! The running mean of the weights: what a stage validates and gives away, while it goes on learning from the weights as the
//! optimizer left them (Polyak and Juditsky 1992; warm-up as in TensorFlow's `ExponentialMovingAverage` with `num_updates`).

use burn::module::{AutodiffModule, Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use super::precision::trained_values;
use crate::trainee::Trainee;

/// The exponential moving average of what is trained; what is frozen is shared with the model itself.
#[derive(Debug)]
pub(super) struct Average<B: AutodiffBackend> {
    model: Trainee<B::InnerBackend>,
    decay: f64,
}

impl<B: AutodiffBackend> Average<B> {
    /// An average that begins at some weights; each step keeps `decay` of it.
    pub(super) fn new(trainee: &Trainee<B>, decay: f64) -> Self {
        Self {
            model: trainee.valid(),
            decay,
        }
    }

    /// The average with the weights after a step, before which there were so many. The first count more, or it would long
    /// remember the start.
    pub(super) fn after(self, before: u64, trainee: &Trainee<B>) -> Self {
        let steps = before as f64;
        let decay = self.decay.min((1.0 + steps) / (10.0 + steps));
        let mut towards = Towards {
            values: trained_values(trainee),
            share: 1.0 - decay,
        };
        Self {
            model: self.model.map(&mut towards),
            ..self
        }
    }

    /// The model with averaged weights.
    pub(super) fn model(&self) -> &Trainee<B::InnerBackend> {
        &self.model
    }

    /// The same, when nothing more is to come.
    pub(super) fn into_model(self) -> Trainee<B::InnerBackend> {
        self.model
    }
}

/// Moves parameters by a share of the way to other values.
struct Towards {
    values: GradientsParams,
    share: f64,
}

impl<B: Backend> ModuleMapper<B> for Towards {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let Some(value) = self.values.remove::<B, D>(param.id) else {
            return param;
        };
        let (id, mean, mapper) = param.consume();
        let moved = mean.clone() + (value - mean) * self.share;
        Param::from_mapped_value(id, moved, mapper)
    }
}
