//! AdamW, or Muon for some matrices, with states by parameter path, so that checkpoints need no
//! ids.

use std::collections::{BTreeMap, HashMap};

use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::{
    AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, GradientsParams, SimpleOptimizer,
};
use burn::tensor::{Tensor, backend::AutodiffBackend, backend::Backend};
use regex::Regex;

use super::{module_path, muon};

/// Hyper-parameters of the optimizer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct OptimizerConfig {
    /// Decoupled weight decay, on parameters with two or more dimensions.
    pub(super) weight_decay: f32,
    /// Largest global norm of the gradient.
    pub(super) clip_norm: f64,
    /// Epsilon, added to the root of a gradient's mean square.
    pub(super) epsilon: f32,
}

/// AdamW over all parameters with a gradient, and Muon over some of them.
pub(super) struct Optimizer<B: AutodiffBackend> {
    with_decay: AdamW,
    without_decay: AdamW,
    config: OptimizerConfig,
    scales: Vec<(Regex, f64)>,
    muon: Vec<Regex>,
    states: HashMap<String, Moments<B::InnerBackend>>,
}

impl<B: AutodiffBackend> Optimizer<B> {
    /// Optimizer without updates; `scales` are factors on the learning rate by path pattern, the
    /// first match counting.
    pub(super) fn new(config: OptimizerConfig, scales: Vec<(Regex, f64)>) -> Self {
        let adamw = AdamWConfig::new().with_epsilon(config.epsilon);
        Self {
            with_decay: adamw.clone().with_weight_decay(config.weight_decay).build(),
            without_decay: adamw.with_weight_decay(0.0).build(),
            config,
            scales,
            muon: Vec::new(),
            states: HashMap::new(),
        }
    }

    /// Uses Muon instead of AdamW for the matrices whose paths match one of `patterns`.
    pub(super) fn with_muon(mut self, patterns: Vec<Regex>) -> Self {
        self.muon = patterns;
        self
    }

    /// Applies one update. Returns the gradient's norm before clipping; if it is not finite,
    /// nothing changes. Each weight is freed as soon as it is updated, unless the caller holds a
    /// copy of `module`.
    pub(super) fn step<M: AutodiffModule<B>>(
        &mut self,
        module: M,
        mut gradients: GradientsParams,
        learning_rate: f64,
    ) -> (M, f64) {
        let mut norm = SquaredNorm::<B> {
            gradients: &gradients,
            sum: None,
        };
        module.visit(&mut norm);
        let norm = norm.sum.map_or(0.0, |sum| {
            f64::from(
                sum.into_data()
                    .convert::<f32>()
                    .iter::<f32>()
                    .next()
                    .unwrap_or(0.0),
            )
            .sqrt()
        });
        if !norm.is_finite() {
            return (module, norm);
        }
        let shrink = if norm > self.config.clip_norm {
            self.config.clip_norm / norm
        } else {
            1.0
        };
        let mut update = Update {
            optimizer: self,
            gradients: &mut gradients,
            learning_rate,
            shrink,
            path: Vec::new(),
        };
        (module.map(&mut update), norm)
    }

    /// Moments by parameter path.
    pub(super) fn moments(&self) -> BTreeMap<&str, &Moments<B::InnerBackend>> {
        let moments = self.states.iter();
        moments
            .map(|(path, moments)| (path.as_str(), moments))
            .collect()
    }

    /// Restores saved moments.
    pub(super) fn restore(&mut self, path: String, moments: Moments<B::InnerBackend>) {
        self.states.insert(path, moments);
    }

    fn uses_muon(&self, path: &str) -> bool {
        self.muon.iter().any(|pattern| pattern.is_match(path))
    }

    fn scale(&self, path: &str) -> f64 {
        self.scales
            .iter()
            .find(|(pattern, _)| pattern.is_match(path))
            .map_or(1.0, |(_, scale)| *scale)
    }
}

/// Moments of one parameter.
#[derive(Debug, Clone)]
pub(super) struct Moments<B: Backend> {
    /// Number of updates so far.
    pub(super) steps: usize,
    /// First moment, flat; Muon's velocity.
    pub(super) first: Tensor<B, 1>,
    /// Second moment, flat; `None` with Muon.
    pub(super) second: Option<Tensor<B, 1>>,
}

impl<B: Backend> Moments<B> {
    /// AdamW's state, or `None` if the moments are Muon's.
    fn adamw(self) -> Option<AdamWState<B, 1>> {
        let momentum = AdaptiveMomentumState::new(self.steps, self.first, self.second?);
        Some(AdamWState::new(momentum))
    }
}

impl<B: Backend> From<AdamWState<B, 1>> for Moments<B> {
    fn from(state: AdamWState<B, 1>) -> Self {
        Self {
            steps: state.momentum.time,
            first: state.momentum.moment_1,
            second: Some(state.momentum.moment_2),
        }
    }
}

struct SquaredNorm<'a, B: AutodiffBackend> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<B::InnerBackend, 1>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for SquaredNorm<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.gradients.get::<B::InnerBackend, D>(param.id) {
            let square = (gradient.clone() * gradient).sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

struct Update<'a, B: AutodiffBackend> {
    optimizer: &'a mut Optimizer<B>,
    gradients: &'a mut GradientsParams,
    learning_rate: f64,
    shrink: f64,
    path: Vec<String>,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Update<'_, B> {
    fn enter_module(&mut self, name: &str, container: &str) {
        module_path::enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        module_path::exit(&mut self.path, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(param.id) else {
            return param;
        };
        let path = self.path.join(".");
        let learning_rate = self.learning_rate * self.optimizer.scale(&path);
        let (id, tensor, mapper): (ParamId, _, _) = param.consume();
        let tracked = tensor.is_require_grad();
        let shape = tensor.shape();
        let gradient = match self.shrink {
            1.0 => gradient,
            shrink => gradient * shrink,
        };
        let known = self.optimizer.states.remove(&path);
        let (updated, moments) = if D == 2 && self.optimizer.uses_muon(&path) {
            let sides = [shape[0], shape[1]];
            let known = known.filter(|moments| moments.second.is_none());
            let (steps, velocity) = known.map_or((0, None), |moments| {
                (moments.steps, Some(moments.first.reshape(sides)))
            });
            let (updated, velocity) = muon::step(
                tensor.inner().reshape(sides),
                gradient.reshape(sides),
                velocity,
                learning_rate,
                self.optimizer.config.weight_decay,
            );
            let moments = Moments {
                steps: steps + 1,
                first: velocity.flatten(0, 1),
                second: None,
            };
            (updated.reshape(shape), Some(moments))
        } else {
            let size = shape.num_elements();
            let rule = if D >= 2 {
                &self.optimizer.with_decay
            } else {
                &self.optimizer.without_decay
            };
            let (updated, state) = SimpleOptimizer::<B::InnerBackend>::step(
                rule,
                learning_rate,
                tensor.inner().reshape([size]),
                gradient.reshape([size]),
                known.and_then(Moments::adamw),
            );
            (updated.reshape(shape), state.map(Moments::from))
        };
        if let Some(moments) = moments {
            self.optimizer.states.insert(path, moments);
        }
        let tensor = Tensor::from_inner(updated).set_require_grad(tracked);
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Marks the parameters whose path matches one of `trainable` as trained, all others as frozen.
/// Returns the number of values that each pattern matches.
pub(super) fn set_trainable<B: AutodiffBackend, M: Module<B>>(
    module: M,
    trainable: &[Regex],
) -> (M, Vec<usize>) {
    let mut freeze = Freeze {
        trainable,
        path: Vec::new(),
        counts: vec![0; trainable.len()],
    };
    let module = module.map(&mut freeze);
    (module, freeze.counts)
}

struct Freeze<'a> {
    trainable: &'a [Regex],
    path: Vec<String>,
    counts: Vec<usize>,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Freeze<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        module_path::enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        module_path::exit(&mut self.path, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let path = self.path.join(".");
        let mut trained = false;
        for (pattern, count) in self.trainable.iter().zip(&mut self.counts) {
            if pattern.is_match(&path) {
                *count += param.lazy_shape().num_elements();
                trained = true;
            }
        }
        param.set_require_grad(trained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyref_ops::nn::{Linear, LinearConfig};
    use burn::backend::{Autodiff, Flex};

    type B = Autodiff<Flex>;

    fn train(optimizer: &mut Optimizer<B>, mut layer: Linear<B>, steps: usize) -> (Linear<B>, f64) {
        let device = Default::default();
        let x = Tensor::<B, 2>::from_data([[1.0, -2.0], [0.5, 3.0]], &device);
        let mut last = 0.0;
        for _ in 0..steps {
            let loss = (layer.forward(x.clone()) - 1.0).powf_scalar(2.0).mean();
            last = f64::from(loss.clone().into_scalar());
            let mut gradients = loss.backward();
            let gradients = GradientsParams::from_module(&mut gradients, &layer);
            layer = optimizer.step(layer, gradients, 0.05).0;
        }
        (layer, last)
    }

    fn optimizer() -> Optimizer<B> {
        Optimizer::new(
            OptimizerConfig {
                weight_decay: 0.01,
                clip_norm: 1.0,
                epsilon: 1e-8,
            },
            Vec::new(),
        )
    }

    #[test]
    fn it_learns() {
        let layer = LinearConfig::new(2, 1).init(&Default::default());
        assert!(train(&mut optimizer(), layer, 200).1 < 1e-3);
    }

    #[test]
    fn restored_moments_continue_the_same_way() {
        let layer = LinearConfig::new(2, 1).init::<B>(&Default::default());
        // Copies of weights that are not drawn yet would be drawn separately.
        layer.forward(Tensor::<B, 2>::zeros([1, 2], &Default::default()));
        let adamw = || optimizer();
        let muon = || optimizer().with_muon(vec![Regex::new("^weight$").unwrap()]);
        let resumed = |fresh: &dyn Fn() -> Optimizer<B>| {
            let (whole, _) = train(&mut fresh(), layer.clone(), 10);
            let mut first = fresh();
            let (half, _) = train(&mut first, layer.clone(), 5);
            let mut second = fresh();
            for (path, moments) in first.moments() {
                second.restore(path.to_owned(), moments.clone());
            }
            let (resumed, _) = train(&mut second, half, 5);
            assert_eq!(whole.weight.val().to_data(), resumed.weight.val().to_data());
            assert_eq!(
                whole.bias.unwrap().to_data(),
                resumed.bias.unwrap().to_data()
            );
            resumed.weight.val().to_data()
        };
        assert_ne!(resumed(&adamw), resumed(&muon));
    }

    #[test]
    fn frozen_parameters_stay() {
        let layer = LinearConfig::new(2, 1).init::<B>(&Default::default());
        let before = layer.bias.as_ref().unwrap().to_data();
        let patterns = ["weight", "none"].map(|pattern| Regex::new(pattern).unwrap());
        let (layer, counts) = set_trainable(layer, &patterns);
        assert_eq!(counts, [2, 0]);
        let (layer, _) = train(&mut optimizer(), layer, 3);
        assert_eq!(before, layer.bias.unwrap().to_data());
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let layer = LinearConfig::new(2, 1).init::<B>(&Default::default());
        let x = Tensor::<B, 2>::from_data([[f32::NAN, 1.0]], &Default::default());
        let mut gradients = layer.forward(x).sum().backward();
        let gradients = GradientsParams::from_module(&mut gradients, &layer);
        let (after, norm) = optimizer().step(layer.clone(), gradients, 0.1);
        assert!(!norm.is_finite());
        assert_eq!(layer.weight.val().to_data(), after.weight.val().to_data());
    }
}
