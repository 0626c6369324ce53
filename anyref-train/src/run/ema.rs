//! Exponential moving average (EMA) of the weights: the model that a stage validates and exports,
//! while training continues from the optimizer's weights (Polyak and Juditsky 1992; warm-up as in
//! TensorFlow's `ExponentialMovingAverage` with `num_updates`).

use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use crate::trainee::Trainee;

/// EMA of the trained weights; frozen weights are shared with the model.
#[derive(Debug)]
pub(super) struct Ema<B: AutodiffBackend> {
    model: Trainee<B::InnerBackend>,
    decay: f64,
}

impl<B: AutodiffBackend> Ema<B> {
    /// Starts the EMA at the weights of `trainee`, with a decay of at most `decay`.
    pub(super) fn new(trainee: &Trainee<B>, decay: f64) -> Self {
        Self {
            model: trainee.valid(),
            decay,
        }
    }

    /// Updates the EMA after a step that `steps` others precede. The decay is warmed up, so that
    /// the initial weights are forgotten quickly.
    pub(super) fn after(self, steps: u64, trainee: &Trainee<B>) -> Self {
        let steps = steps as f64;
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

    /// Model with averaged weights.
    pub(super) fn model(&self) -> &Trainee<B::InnerBackend> {
        &self.model
    }

    /// Model with averaged weights, consuming the EMA.
    pub(super) fn into_model(self) -> Trainee<B::InnerBackend> {
        self.model
    }
}

/// Moves parameters by a share of the way towards other values.
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

/// Values of a module's trained weights, by parameter.
fn trained_values<B: AutodiffBackend, M: Module<B>>(module: &M) -> GradientsParams {
    let mut trained = Trained(GradientsParams::new());
    module.visit(&mut trained);
    trained.0
}

struct Trained(GradientsParams);

impl<B: AutodiffBackend> ModuleVisitor<B> for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if param.is_require_grad() {
            let values = param.val().inner();
            self.0.register::<B::InnerBackend, D>(param.id, values);
        }
    }
}
