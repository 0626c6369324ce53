//! Gradients of the picture encoders compared with finite differences.

use anyref_ops::testing::{fill, random};
use anyref_vision::clip::ClipVisionConfig;
use anyref_vision::sam::SamVisionConfig;
use burn::backend::Autodiff;
use burn::module::{AutodiffModule, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, backend::Backend};
use burn_flex::Flex;

type B = Autodiff<Flex>;

/// Mapper that adds `step` times a fixed direction to every parameter.
struct Nudge {
    step: f32,
    seed: u64,
}

impl<T: Backend> ModuleMapper<T> for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<T, D>>) -> Param<Tensor<T, D>> {
        self.seed += 1;
        let (id, value, mapper) = param.consume();
        let direction = random::<T, D>(value.dims(), self.seed, &value.device());
        Param::from_mapped_value(id, value + direction * self.step, mapper)
    }
}

/// Sums the gradient's products with the directions of [`Nudge`], in total and for each parameter.
struct Slope<'a> {
    gradients: &'a GradientsParams,
    seed: u64,
    sum: f64,
    without: usize,
}

impl ModuleVisitor<B> for Slope<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.seed += 1;
        let Some(gradient) = self.gradients.get::<Flex, D>(param.id) else {
            self.without += 1;
            return;
        };
        let direction = random::<Flex, D>(gradient.dims(), self.seed, &gradient.device());
        self.sum += f64::from((gradient * direction).sum().into_scalar());
    }
}

/// Compares the slope along random directions of all parameters by autodiff and by central
/// differences.
fn check<M: AutodiffModule<B>>(module: M, loss: impl Fn(&M) -> Tensor<B, 1>, unused: usize) {
    let mut gradients = loss(&module).backward();
    let gradients = GradientsParams::from_module(&mut gradients, &module);
    for seed in [0, 1000, 2000] {
        let mut slope = Slope {
            gradients: &gradients,
            seed,
            sum: 0.0,
            without: 0,
        };
        module.visit(&mut slope);
        assert_eq!(slope.without, unused, "parameters without a gradient");
        let at = |step: f32| {
            let moved = module.clone().map(&mut Nudge { step, seed });
            f64::from(loss(&moved).into_scalar())
        };
        let step = 2e-4;
        let expected = (at(step) - at(-step)) / f64::from(2.0 * step);
        let error = (slope.sum - expected).abs() / expected.abs().max(1.0);
        assert!(
            error < 0.02,
            "autodiff {} differences {expected}",
            slope.sum
        );
    }
}

/// Smooth function of a tensor, of order 1.
fn probe<const D: usize>(x: Tensor<B, D>) -> Tensor<B, 1> {
    let weights = random::<B, D>(x.dims(), 99, &x.device());
    (x * weights).sum()
}

#[test]
fn sam_with_windows_and_global_attention() {
    let config = SamVisionConfig {
        hidden_size: 24,
        mlp_dim: 48,
        num_hidden_layers: 3,
        num_attention_heads: 2,
        image_size: 128,
        patch_size: 16,
        output_channels: 16,
        window_size: 4,
        global_attn_indexes: vec![1],
        ..SamVisionConfig::vit_base()
    };
    let device = Default::default();
    let encoder = fill(config.init::<B>(&device), 3, 0.3);
    let pixels = random::<B, 4>([2, 3, 128, 128], 5, &device);
    check(encoder, |encoder| probe(encoder.forward(pixels.clone())), 0);
}

#[test]
fn clip_up_to_a_layer() {
    let config = ClipVisionConfig {
        hidden_size: 24,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        image_size: 56,
        patch_size: 14,
        ..ClipVisionConfig::vit_large_patch14()
    };
    let device = Default::default();
    let tower = fill(config.init::<B>(&device), 3, 0.3);
    let pixels = random::<B, 4>([2, 3, 56, 56], 5, &device);
    // The two parameters of the post-normalisation belong to the pooled output.
    check(tower, |tower| probe(tower.features(pixels.clone(), -1)), 2);
}
