//! Gradients of the mask losses, from the prompts to the pixels, against finite differences.

use anyref_ops::testing::{fill, random};
use anyref_train::Trainee;
use anyref_train::stages::SamStage;
use anyref_train::{Losses, Stage};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, backend::Backend};
use regex::Regex;

use crate::common::TestBackend;
use crate::support::{TrainBackend, alone, context, stage_config};

/// Mapper that adds `step` times a fixed direction to the parameters whose path matches.
struct Nudge<'a> {
    pattern: &'a Regex,
    step: f32,
    seed: u64,
    path: Vec<String>,
}

impl<T: Backend> ModuleMapper<T> for Nudge<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<T, D>>) -> Param<Tensor<T, D>> {
        self.seed += 1;
        if !self.pattern.is_match(&self.path.join(".")) {
            return param;
        }
        let (id, value, mapper) = param.consume();
        let direction = random::<T, D>(value.dims(), self.seed, &value.device());
        Param::from_mapped_value(id, value + direction * self.step, mapper)
    }
}

/// Visitor that sums the gradient's products with the same directions.
struct Slope<'a> {
    pattern: &'a Regex,
    gradients: &'a GradientsParams,
    seed: u64,
    sum: f64,
    path: Vec<String>,
}

impl ModuleVisitor<TrainBackend> for Slope<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<TrainBackend, D>>) {
        self.seed += 1;
        if !self.pattern.is_match(&self.path.join(".")) {
            return;
        }
        if let Some(gradient) = self.gradients.get::<TestBackend, D>(param.id) {
            let direction =
                random::<TestBackend, D>(gradient.dims(), self.seed, &gradient.device());
            self.sum += f64::from((gradient * direction).sum().into_scalar());
        }
    }
}

#[test]
fn mask_losses_reach_every_part() {
    let _turn = alone();
    let context = context([64, 64], 2);
    let device = Default::default();
    let trainee = Trainee::<TrainBackend>::new(&context.model, context.name_count(), &device);
    let trainee = fill(trainee, 3, 0.3);
    let stage = SamStage::new(&context, stage_config("sam", 1, 3));
    let batch = Stage::<TrainBackend>::batch(&stage, 0).unwrap();
    let loss = |trainee: &Trainee<TrainBackend>| stage.loss(trainee, &batch).unwrap();
    let parts = [
        "image_encoder.patch_embed",
        "image_encoder.layers.0",
        "image_encoder.neck",
        "prompts",
        "prompt_encoder.point_embeddings",
        "mask_decoder.transformer.layers.0.self_attn",
        "mask_decoder.transformer.layers.0.cross_attn_token_to_image",
        "mask_decoder.transformer.layers.0.cross_attn_image_to_token",
        "mask_decoder.transformer.layers.1",
        "mask_decoder.output_upscaling",
        "mask_decoder.output_hypernetworks",
        "mask_decoder.mask_tokens",
        "iou",
    ];
    are_differences(&trainee, &loss, &parts);
}

/// Checks gradients of parameters whose paths match `parts` against differences of the loss.
pub fn are_differences(
    trainee: &Trainee<TrainBackend>,
    loss: &dyn Fn(&Trainee<TrainBackend>) -> Losses<TrainBackend>,
    parts: &[&str],
) {
    let gradients = loss(trainee).gradients(trainee, 1.0);
    for part in parts {
        let pattern = Regex::new(part).unwrap();
        let mut slope = Slope {
            pattern: &pattern,
            gradients: &gradients,
            seed: 0,
            sum: 0.0,
            path: Vec::new(),
        };
        trainee.visit(&mut slope);
        let at = |step: f32| {
            let mut nudge = Nudge {
                pattern: &pattern,
                step,
                seed: 0,
                path: Vec::new(),
            };
            loss(&trainee.clone().map(&mut nudge)).value()
        };
        let step = 1e-3;
        let expected = (at(step) - at(-step)) / f64::from(2.0 * step);
        println!("{part}: {} {expected}", slope.sum);
        let error = (slope.sum - expected).abs() / expected.abs().max(1e-2);
        assert!(
            error < 0.05,
            "{part}: autodiff {} differences {expected}",
            slope.sum
        );
    }
}
