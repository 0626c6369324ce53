//! Mixed precision: values and gradients of a step in half precision, weights and their updates in f32.

use std::collections::BTreeSet;

use anyref_core::FREQUENCIES;
use anyref_weights::parameters;
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::config::StageConfig;
use crate::trainee::{PretrainingHeads, Trainee};

/// The type in which a step is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits throughout.
    #[default]
    F32,
    /// 16 bits with the range of f32.
    Bf16,
    /// 16 bits with a small range, so that losses are scaled.
    F16,
}

impl Precision {
    /// The type of values, where it is another than that of weights.
    pub fn half(self) -> Option<DType> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(DType::BF16),
            Self::F16 => Some(DType::F16),
        }
    }
}

/// What a loss is multiplied by, so that small gradients do not vanish in f16: halved when a gradient is not finite,
/// doubled after many that are, as PyTorch's `GradScaler` does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// The factor, a power of two.
    pub factor: f64,
    /// Finite gradients in a row.
    pub finite: u32,
}

/// Finite gradients in a row before the scale is doubled.
const PATIENCE: u32 = 2000;

impl LossScale {
    /// The first scale of a stage, for types that need one.
    pub fn of(precision: Precision) -> Option<Self> {
        (precision == Precision::F16).then_some(Self {
            factor: 65536.0,
            finite: 0,
        })
    }

    /// The scale after a step.
    pub fn after(self, finite: bool) -> Self {
        match finite {
            false => Self {
                factor: (self.factor / 2.0).max(1.0),
                finite: 0,
            },
            true if self.finite + 1 >= PATIENCE => Self {
                factor: (self.factor * 2.0).min(2.0f64.powi(24)),
                finite: 0,
            },
            true => Self {
                finite: self.finite + 1,
                ..self
            },
        }
    }
}

/// A model whose weights are rounded: frozen ones once, trained ones for every step. Pretraining heads stay in f32, and so
/// do frequencies, which are other places when they are rounded.
#[derive(Debug)]
pub(super) struct Rounded<B: AutodiffBackend> {
    model: Trainee<B>,
    dtype: DType,
}

impl<B: AutodiffBackend> Rounded<B> {
    /// Rounds the whole model.
    pub(super) fn new(trainee: &Trainee<B>, dtype: DType) -> Self {
        let mut round = Round {
            dtype,
            path: Vec::new(),
            of: Rounds::All,
        };
        Self {
            model: Trainee {
                anyref: trainee.anyref.clone().map(&mut round),
                heads: trainee.heads.clone(),
            },
            dtype,
        }
    }

    /// The whole of another model of that kind, in its type: frozen weights that are in it already are shared.
    pub(super) fn whole(model: Trainee<B::InnerBackend>, dtype: DType) -> Trainee<B::InnerBackend> {
        Self::new(&Trainee::from_inner(model), dtype).model.valid()
    }

    /// The model with the trained weights of now, and leaves of its own.
    pub(super) fn with(&self, trainee: &Trainee<B>) -> Trainee<B> {
        let mut round = Round {
            dtype: self.dtype,
            path: Vec::new(),
            of: Rounds::Trained(trained_values(&trainee.anyref)),
        };
        Trainee {
            anyref: self.model.anyref.clone().map(&mut round),
            heads: PretrainingHeads::from_inner(trainee.heads.valid()),
        }
    }
}

/// The type that all stages compute in, where that is one and the same half precision. What none of them trains need not
/// be held in another.
pub(super) fn common_half(stages: &[StageConfig]) -> Option<DType> {
    let mut halves = stages.iter().map(|stage| stage.precision.half());
    let first = halves.next()??;
    halves.all(|half| half == Some(first)).then_some(first)
}

/// A model that holds some of its weights, given by name, in half precision alone: 2 bytes each, where a rounded copy
/// beside the weight takes 6. Heads and frequencies stay in f32, as in [`Rounded`].
pub(super) fn narrowed<B: AutodiffBackend>(
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
        of: Rounds::Named(paths.collect()),
    };
    Trainee {
        anyref: trainee.anyref.map(&mut round),
        heads: trainee.heads,
    }
}

/// The values of a module's trained weights, by parameter.
pub(super) fn trained_values<B: AutodiffBackend, M: Module<B>>(module: &M) -> GradientsParams {
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

struct Round {
    dtype: DType,
    path: Vec<String>,
    of: Rounds,
}

/// What is rounded of a model.
enum Rounds {
    All,
    /// What is at these paths.
    Named(BTreeSet<String>),
    /// What has new values, which take the place of its own.
    Trained(GradientsParams),
}

impl<B: AutodiffBackend> ModuleMapper<B> for Round {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let wide = |name: &String| name == FREQUENCIES;
        let (id, tensor, mapper) = param.consume();
        let tracked = tensor.is_require_grad();
        let values = match &mut self.of {
            Rounds::All => Some(tensor.clone().inner()),
            Rounds::Named(paths) => paths
                .contains(&self.path.join("."))
                .then(|| tensor.clone().inner()),
            Rounds::Trained(trained) => trained.remove::<B::InnerBackend, D>(id),
        };
        let tensor = match values {
            Some(values) if !self.path.last().is_some_and(wide) => {
                Tensor::from_inner(values.cast(self.dtype)).set_require_grad(tracked)
            }
            Some(values) => Tensor::from_inner(values).set_require_grad(tracked),
            None => tensor,
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Gradients of a rounded model as those of `trainee`: in f32 and without the loss's `scale`.
pub(super) fn widened<B: AutodiffBackend>(
    trainee: &Trainee<B>,
    gradients: GradientsParams,
    scale: f64,
) -> GradientsParams {
    let mut widen = Widen {
        from: gradients,
        to: GradientsParams::new(),
        scale,
    };
    trainee.visit(&mut widen);
    widen.to
}

struct Widen {
    from: GradientsParams,
    to: GradientsParams,
    scale: f64,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Widen {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if let Some(gradient) = self.from.remove::<B::InnerBackend, D>(param.id) {
            let gradient = gradient.cast(DType::F32) / self.scale;
            self.to.register::<B::InnerBackend, D>(param.id, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_follows_what_is_finite() {
        let first = LossScale::of(Precision::F16).unwrap();
        let halved = first.after(false);
        assert_eq!(halved.factor, first.factor / 2.0);
        let mut scale = halved;
        for _ in 0..PATIENCE {
            assert_eq!(scale.factor, halved.factor);
            scale = scale.after(true);
        }
        assert_eq!(scale.factor, first.factor);
        let least = (0..60).fold(scale, |scale, _| scale.after(false));
        assert_eq!(least.factor, 1.0);
        assert_eq!(LossScale::of(Precision::Bf16), None);
        assert_eq!(LossScale::of(Precision::F32), None);
    }
}
