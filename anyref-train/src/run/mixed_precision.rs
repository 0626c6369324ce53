//! Mixed precision: values and gradients of a step in half precision, weights and their updates in
//! f32.

use std::collections::BTreeSet;

use anyref_core::FREQUENCIES;
use anyref_weights::parameters;
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor};

use super::module_path;
use crate::trainee::{PretrainingHeads, Trainee};

/// Half-precision copies of a model's frozen weights, rounded once. Trained weights are rounded for
/// every step from the f32 weights, and not kept. Pretraining heads stay in f32, and so do
/// positional frequencies, which rounding would change.
#[derive(Debug)]
pub(super) struct HalfModel {
    /// Frozen weights by parameter.
    frozen: GradientsParams,
    dtype: DType,
}

impl HalfModel {
    /// Rounds the frozen weights.
    pub(super) fn new<B: AutodiffBackend>(trainee: &Trainee<B>, dtype: DType) -> Self {
        let mut rounding = RoundFrozen {
            frozen: GradientsParams::new(),
            dtype,
            path: Vec::new(),
        };
        trainee.anyref.visit(&mut rounding);
        Self {
            frozen: rounding.frozen,
            dtype,
        }
    }

    /// Model with the trained weights of `trainee`, and leaves of its own.
    pub(super) fn with<B: AutodiffBackend>(&self, trainee: &Trainee<B>) -> Trainee<B> {
        let mut rounding = RoundTrained {
            half: self,
            path: Vec::new(),
        };
        Trainee {
            anyref: trainee.anyref.clone().map(&mut rounding),
            heads: PretrainingHeads::from_inner(trainee.heads.valid()),
        }
    }
}

struct RoundFrozen {
    frozen: GradientsParams,
    dtype: DType,
    path: Vec<String>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for RoundFrozen {
    fn enter_module(&mut self, name: &str, container: &str) {
        module_path::enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        module_path::exit(&mut self.path, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let weights = param.val();
        if !weights.is_require_grad() {
            let rounded = rounded(weights.inner(), &self.path, self.dtype);
            self.frozen
                .register::<B::InnerBackend, D>(param.id, rounded);
        }
    }
}

struct RoundTrained<'a> {
    half: &'a HalfModel,
    path: Vec<String>,
}

impl<B: AutodiffBackend> ModuleMapper<B> for RoundTrained<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        module_path::enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        module_path::exit(&mut self.path, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let trained = tensor.is_require_grad();
        let frozen = match trained {
            true => None,
            false => self.half.frozen.get::<B::InnerBackend, D>(id),
        };
        let weights =
            frozen.unwrap_or_else(|| rounded(tensor.inner(), &self.path, self.half.dtype));
        let tensor = Tensor::from_inner(weights).set_require_grad(trained);
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Casts the weights of the parameter at `path` to half precision; frequencies are unchanged.
fn rounded<B: Backend, const D: usize>(
    weights: Tensor<B, D>,
    path: &[String],
    dtype: DType,
) -> Tensor<B, D> {
    match path.last().is_some_and(|name| name == FREQUENCIES) {
        true => weights,
        false => weights.cast(dtype),
    }
}

/// Casts a model to half precision, for validation. Weights in it already are shared.
pub(super) fn in_half<B: Backend>(trainee: Trainee<B>, dtype: DType) -> Trainee<B> {
    let mut round = Round {
        dtype,
        path: Vec::new(),
        paths: None,
    };
    Trainee {
        anyref: trainee.anyref.map(&mut round),
        heads: trainee.heads,
    }
}

/// Holds the named weights of a model in half precision only: 2 bytes each, against 6 for a weight
/// with a rounded copy. Heads and frequencies stay in f32, as in [`HalfModel`].
pub(super) fn with_half_weights<B: AutodiffBackend>(
    trainee: Trainee<B>,
    names: &BTreeSet<String>,
    dtype: DType,
) -> Trainee<B> {
    let known = parameters::<B, _>(&trainee.anyref).into_iter();
    let paths = known
        .filter(|(name, _)| names.contains(&format!("anyref.{name}")))
        .map(|(_, parameter)| parameter.path);
    let mut round = Round {
        dtype,
        path: Vec::new(),
        paths: Some(paths.collect()),
    };
    let model = trainee.anyref.valid();
    drop(trainee.anyref);
    Trainee {
        anyref: AutodiffModule::from_inner(model.map(&mut round)),
        heads: trainee.heads,
    }
}

struct Round {
    dtype: DType,
    path: Vec<String>,
    /// Paths of the parameters to round; `None` for all.
    paths: Option<BTreeSet<String>>,
}

impl<B: Backend> ModuleMapper<B> for Round {
    fn enter_module(&mut self, name: &str, container: &str) {
        module_path::enter(&mut self.path, name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        module_path::exit(&mut self.path, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let wanted = self.paths.as_ref();
        if wanted.is_some_and(|paths| !paths.contains(&self.path.join("."))) {
            return param;
        }
        let (id, tensor, mapper) = param.consume();
        let tensor = rounded(tensor, &self.path, self.dtype);
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Gradients of a half-precision model as gradients of `trainee`: in f32 and divided by the loss
/// `scale`.
pub(super) fn unscaled<B: AutodiffBackend>(
    trainee: &Trainee<B>,
    gradients: GradientsParams,
    scale: f64,
) -> GradientsParams {
    let mut unscale = Unscale {
        from: gradients,
        to: GradientsParams::new(),
        scale,
    };
    trainee.visit(&mut unscale);
    unscale.to
}

struct Unscale {
    from: GradientsParams,
    to: GradientsParams,
    scale: f64,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Unscale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.from.remove::<B::InnerBackend, D>(param.id) {
            let gradient = gradient.cast(DType::F32) / self.scale;
            self.to.register::<B::InnerBackend, D>(param.id, gradient);
        }
    }
}
