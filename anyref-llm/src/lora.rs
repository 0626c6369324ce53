//! Low-rank adapters (LoRA) on the projections, with PEFT's initialisation, scaling and names.

use anyref_ops as ops;
use anyref_ops::nn::{Linear, LinearConfig};
use burn::module::{Initializer, Module, ModuleMapper, Param};
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Tensor, backend::Backend};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::linear::normal_linear;

/// Projections that get an adapter, and its size. Serialises to the fields of PEFT's
/// `adapter_config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Rank of the adapter.
    pub r: usize,
    /// Numerator of the scale: the adapter's output is multiplied by `alpha / r`, or with
    /// [`use_rslora`](Self::use_rslora) by `alpha / sqrt(r)`.
    #[serde(rename = "lora_alpha", alias = "alpha")]
    pub alpha: f64,
    /// Probability of dropping an input of the adapter in training.
    #[serde(rename = "lora_dropout", alias = "dropout", default)]
    pub dropout: f64,
    /// Names of the projections, in full or a suffix of whole segments (`q_proj`,
    /// `self_attn.q_proj`).
    pub target_modules: Vec<String>,
    /// Uses rank-stabilised scaling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_rslora: bool,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            alpha: 16.0,
            dropout: 0.05,
            target_modules: vec!["q_proj".into(), "v_proj".into()],
            use_rslora: false,
        }
    }
}

impl LoraConfig {
    /// Factor of the adapter's output.
    pub fn scaling(&self) -> f64 {
        let rank = self.r as f64;
        self.alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Checks that an adapter of this configuration can be built.
    ///
    /// # Errors
    /// When the rank is 0, `alpha` is not finite, `dropout` is outside `[0, 1)`, or no projection
    /// is named.
    pub fn validate(&self) -> Result<()> {
        let fail = |field: &str, reason: &str| {
            Err(Error::Lora {
                field: field.into(),
                reason: reason.into(),
            })
        };
        if self.r == 0 {
            return fail("r", "must be positive");
        }
        if !self.alpha.is_finite() {
            return fail("lora_alpha", "must be finite");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return fail("lora_dropout", "must be in [0, 1)");
        }
        if self.target_modules.is_empty() {
            return fail("target_modules", "must name at least one projection");
        }
        Ok(())
    }

    /// Index of the target name that covers the projection at `path`, if any.
    pub(crate) fn target_of(&self, path: &str) -> Option<usize> {
        self.target_modules.iter().position(|target| {
            path.strip_suffix(target.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

/// Linear layer with an optional low-rank adapter: `y = base(x) + alpha / r ·
/// lora_b(lora_a(dropout(x)))`.
#[derive(Module, Debug)]
pub struct LoraLinear<B: Backend> {
    /// Adapted layer.
    pub base_layer: Linear<B>,
    /// `[d_input] -> [r]`, without bias.
    pub lora_a: Option<Linear<B>>,
    /// `[r] -> [d_output]`, without bias.
    pub lora_b: Option<Linear<B>>,
    /// Dropout of the adapter's input, in training.
    pub dropout: Dropout,
    /// Scale of the adapter's output, see [`LoraConfig::scaling`].
    pub scaling: f64,
    /// Set while the adapter is merged into the weight of `base_layer`.
    pub merged: bool,
}

impl<B: Backend> LoraLinear<B> {
    /// Creates a layer without an adapter, with its weight drawn from `normal(0, std)`.
    pub fn new([d_input, d_output]: [usize; 2], bias: bool, std: f64, device: &B::Device) -> Self {
        Self {
            base_layer: normal_linear(d_input, d_output, bias, std, device),
            lora_a: None,
            lora_b: None,
            dropout: DropoutConfig::new(0.0).init(),
            scaling: 0.0,
            merged: false,
        }
    }

    /// Adds a new adapter that has no effect yet: `lora_a` is Kaiming-uniform with `a = sqrt(5)`,
    /// `lora_b` is zero. A lazy weight of the base layer stays uninitialised.
    ///
    /// # Panics
    /// When `dropout` is outside `[0, 1]`.
    pub fn with_lora(mut self, config: &LoraConfig) -> Self {
        let device = self.base_layer.weight.device();
        let [d_input, d_output] = self.base_layer.weight.dims();
        let projection = |d_input, d_output, initializer| {
            LinearConfig::new(d_input, d_output)
                .with_bias(false)
                .with_initializer(initializer)
                .init(&device)
        };
        // The bound is gain · sqrt(3 / d_input) with PyTorch's gain for a = sqrt(5), sqrt(2 / (1 +
        // 5)).
        let kaiming = Initializer::KaimingUniform {
            gain: (1.0f64 / 3.0).sqrt(),
            fan_out_only: false,
        };
        self = self.unmerge();
        self.lora_a = Some(projection(d_input, config.r, kaiming));
        self.lora_b = Some(projection(config.r, d_output, Initializer::Zeros));
        self.dropout = DropoutConfig::new(config.dropout).init();
        self.scaling = config.scaling();
        self
    }

    /// Applies the layer with its adapter, if it has one.
    ///
    /// # Shapes
    /// - x: `[batch, length, d_input]`
    /// - output: `[batch, length, d_output]`
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let (Some(lora_a), Some(lora_b), false) = (&self.lora_a, &self.lora_b, self.merged) else {
            return self.base_layer.forward(x);
        };
        let base = self.base_layer.forward(x.clone());
        // The adapter may be trained in f32 over a half-precision base.
        let (outer, inner) = (base.dtype(), lora_a.weight.dtype());
        let x = self
            .dropout
            .forward(if x.dtype() == inner { x } else { x.cast(inner) });
        let delta = lora_b.forward(lora_a.forward(x)) * self.scaling;
        base + if inner == outer {
            delta
        } else {
            delta.cast(outer)
        }
    }

    /// Computes the outputs of several layers for one input; layers without adapters are multiplied
    /// together if their weights are [blocks](Linear::forward_each).
    ///
    /// # Shapes
    /// - x: `[batch, length, d_input]`
    /// - outputs: `[batch, length, d_output]` of each layer
    pub fn forward_each<const N: usize>(layers: [&Self; N], x: Tensor<B, 3>) -> [Tensor<B, 3>; N] {
        match layers.iter().any(|layer| layer.has_separate_adapter()) {
            true => layers.map(|layer| layer.forward(x.clone())),
            false => Linear::forward_each(layers.map(|layer| &layer.base_layer), x),
        }
    }

    /// Computes `silu(gate(x)) · up(x)`.
    ///
    /// # Shapes
    /// - x: `[batch, length, d_input]`
    /// - output: `[batch, length, d_output]`
    pub fn forward_gated(gate: &Self, up: &Self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        match gate.has_separate_adapter() || up.has_separate_adapter() {
            true => ops::swiglu(gate.forward(x.clone()), up.forward(x)),
            false => Linear::forward_gated(&gate.base_layer, &up.base_layer, x),
        }
    }

    /// Returns whether there is an adapter that is not merged into the weight.
    fn has_separate_adapter(&self) -> bool {
        self.lora_a.is_some() && !self.merged
    }

    /// Merges the adapter into the weight and keeps it, so that [`unmerge`](Self::unmerge) can undo
    /// it. With a weight in blocks the adapter stays separate.
    pub fn merge(mut self) -> Self {
        if !self.merged && self.add_to_weight(1.0) {
            self.merged = true;
        }
        self
    }

    /// Subtracts a merged adapter from the weight again, up to rounding.
    pub fn unmerge(mut self) -> Self {
        if self.merged {
            self.add_to_weight(-1.0);
            self.merged = false;
        }
        self
    }

    /// Drops the adapter; a merged one stays in the weight.
    pub fn without_lora(mut self) -> Self {
        self.lora_a = None;
        self.lora_b = None;
        self.dropout = DropoutConfig::new(0.0).init();
        self.scaling = 0.0;
        self.merged = false;
        self
    }

    fn add_to_weight(&mut self, sign: f64) -> bool {
        let (Some(lora_a), Some(lora_b)) = (&self.lora_a, &self.lora_b) else {
            return false;
        };
        if self.base_layer.weight.dense().is_none() {
            return false;
        }
        let delta = ops::matmul(lora_a.weight.val(), lora_b.weight.val());
        let delta = delta * (sign * self.scaling);
        let add = |weight: Tensor<B, 2>| {
            let (dtype, tracked) = (weight.dtype(), weight.is_require_grad());
            let sum = weight.detach().cast(delta.dtype()) + delta.detach();
            ops::as_stored(sum.cast(dtype))
                .detach()
                .set_require_grad(tracked)
        };
        let mut base = self.base_layer.clone();
        base.weight = base.weight.map_dense(|param| param.map(add));
        self.base_layer = base;
        true
    }
}

/// Disables gradients for every parameter outside the adapters and enables them inside, without
/// initialising lazy parameters.
pub(crate) struct FreezeBase {
    path: Vec<String>,
}

impl FreezeBase {
    pub(crate) fn new() -> Self {
        Self { path: Vec::new() }
    }
}

impl<B: Backend> ModuleMapper<B> for FreezeBase {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let adapter = self
            .path
            .iter()
            .any(|name| name == "lora_a" || name == "lora_b");
        param.set_require_grad(adapter)
    }
}
