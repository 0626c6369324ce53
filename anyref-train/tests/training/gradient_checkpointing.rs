//! Check that recomputed values equal those computed before.

use std::collections::BTreeMap;
use std::fs;

use anyref_llm::LoraConfig;
use anyref_ops::testing::fill;
use anyref_train::Stage;
use anyref_train::Trainee;
use anyref_train::run::Plan;
use anyref_train::run::{Launch, launch};
use anyref_train::stages::{InstructStage, SceneContext};
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use serde_json::json;

use crate::common::TestBackend;
use crate::support::{TrainBackend, alone, context, folders, stage, stage_config, train_config};

#[test]
fn a_stage_learns_the_same_with_less_memory() {
    let _turn = alone();
    let device = Default::default();
    let run = |recompute: bool| {
        let mut asked = stage("instruct", 3, 2);
        asked["recompute"] = json!(recompute);
        asked["ema_decay"] = json!(0.5);
        let mut config = train_config(vec![stage("sam", 1, 1), asked, stage("clip", 1, 1)]);
        config.model.lora = Some(Default::default());
        let folder = tempfile::tempdir().unwrap();
        assert!(launch::<TrainBackend>(&config, &folders(folder.path()), None, &device).unwrap());
        fs::read(folder.path().join("model/model.safetensors")).unwrap()
    };
    assert!(run(false) == run(true));
}

/// Visitor that collects gradients by the paths of their parameters.
struct Collect<'a> {
    gradients: &'a GradientsParams,
    path: Vec<String>,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor<TrainBackend> for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<TrainBackend, D>>) {
        if let Some(gradient) = self.gradients.get::<TestBackend, D>(param.id) {
            let values = gradient.into_data().to_vec().unwrap();
            self.found.insert(self.path.join("."), values);
        }
    }
}

/// Trainee with `layers` layers whose adapters are not 0.
fn adapted(context: &SceneContext, layers: usize, dropout: f64) -> Trainee<TrainBackend> {
    let mut model = context.model.clone();
    model.llm.num_hidden_layers = layers;
    let mut trainee = Trainee::new(&model, context.name_count(), &Default::default());
    let adapters = LoraConfig {
        dropout,
        ..Default::default()
    };
    trainee.anyref.llm = trainee.anyref.llm.with_lora(&adapters).unwrap();
    fill(trainee, 3, 0.3)
}

#[test]
fn layers_computed_again_give_the_same_gradients() {
    let _turn = alone();
    let context = context([64, 64], 3);
    let gradients = |trainee: &Trainee<TrainBackend>, layers: bool| {
        let mut config = stage_config("instruct", 1, 3);
        config.recompute_layers = layers;
        // The projector feeds the layers, and bypasses them too.
        config.reference_weight = 0.5;
        config.name_weight = 0.3;
        let stage = InstructStage::new(&context, config).unwrap();
        let batch = Stage::<TrainBackend>::batch(&stage, 0).unwrap();
        let own = Trainee::<TrainBackend>::from_inner(trainee.valid());
        let losses = Stage::<TrainBackend>::loss(&stage, &own, &batch).unwrap();
        let gradients = losses.gradients(&own, 1.0);
        let mut collect = Collect {
            gradients: &gradients,
            path: Vec::new(),
            found: BTreeMap::new(),
        };
        own.visit(&mut collect);
        collect.found
    };
    let mut tied = adapted(&context, 3, 0.0);
    tied.anyref.llm.lm_head = None;
    let mut frozen = adapted(&context, 2, 0.0);
    frozen.anyref.vision_tower = frozen.anyref.vision_tower.no_grad();
    frozen.anyref.mm_projector = frozen.anyref.mm_projector.no_grad();
    let all = [
        "mm_projector",
        "vision_tower",
        "embed_tokens",
        "layers.0.self_attn.q_proj.lora_a",
        "layers.2.mlp",
        "mask_decoder",
        "names",
    ];
    for (trainee, parts) in [
        (adapted(&context, 4, 0.0), &all[..]),
        (tied, &all),
        (adapted(&context, 1, 0.0), &all[..4]),
        (frozen, &all[3..4]),
    ] {
        let (whole, again) = (gradients(&trainee, false), gradients(&trainee, true));
        for part in parts {
            assert!(whole.keys().any(|path| path.contains(part)), "{part}");
        }
        let missing: Vec<_> = whole.keys().filter(|k| !again.contains_key(*k)).collect();
        assert!(
            missing.is_empty() && whole.len() == again.len(),
            "{missing:?}"
        );
        for (path, expected) in &whole {
            let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            for (a, b) in again[path].iter().zip(expected) {
                let apart = (a - b).abs();
                assert!(apart <= 1e-5 + 1e-4 * largest, "{path}: {a} {b}");
            }
        }
    }
}

/// Mapper that adds `factor` times a direction, given by the paths of its parameters.
struct Step<'a> {
    direction: &'a BTreeMap<&'a String, &'a Vec<f32>>,
    factor: f64,
    path: Vec<String>,
}

impl<B: Backend> ModuleMapper<B> for Step<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let Some(&direction) = self.direction.get(&self.path.join(".")) else {
            return param;
        };
        let (id, value, mapper) = param.consume();
        let direction = TensorData::new(direction.clone(), value.dims());
        let direction = Tensor::<B, D>::from_data(direction, &value.device());
        Param::from_mapped_value(id, value + direction * self.factor, mapper)
    }
}

/// Derivative of `f` at 0 and its error by Ridders' method: central differences with shrinking
/// steps, extrapolated to a step of 0. The extrapolation closest to its neighbours is taken, so
/// that the step is as small as the noise of `f` allows and no smaller.
fn derivative(f: impl Fn(f64) -> f64, first: f64) -> (f64, f64) {
    const SHRINK: f64 = 1.6;
    let mut best = (f64::NAN, f64::INFINITY);
    let mut last: Vec<f64> = Vec::new();
    let mut step = first;
    for _ in 0..7 {
        let mut row = vec![(f(step) - f(-step)) / (2.0 * step)];
        let mut power = SHRINK * SHRINK;
        for (order, &before) in last.iter().enumerate() {
            let next = (row[order] * power - before) / (power - 1.0);
            let error = (next - row[order]).abs().max((next - before).abs());
            if error < best.1 {
                best = (next, error);
            }
            row.push(next);
            power *= SHRINK * SHRINK;
        }
        last = row;
        step /= SHRINK;
    }
    best
}

#[test]
fn the_derivative_is_measured_through_noise() {
    // Noise of 1e-6 on a function with large higher derivatives.
    let noisy = |x: f64| (3.0 * x).exp() + 1e-6 * (x * 1e7).sin();
    let (slope, error) = derivative(noisy, 0.2);
    assert!((slope - 3.0).abs() < 1e-3, "{slope} ± {error}");
    assert!(error < 1e-2, "{error}");
}

#[test]
fn layers_are_computed_again_with_the_same_dropout() {
    let _turn = alone();
    let context = context([64, 64], 3);
    let device = Default::default();
    let mut config = stage_config("instruct", 1, 3);
    config.recompute_layers = true;
    let stage = InstructStage::new(&context, config).unwrap();
    let batch = Stage::<TrainBackend>::batch(&stage, 0).unwrap();
    let loss = |trainee: &Trainee<TrainBackend>| {
        TrainBackend::seed(&device, 7);
        Stage::<TrainBackend>::loss(&stage, trainee, &batch).unwrap()
    };
    let parts = [
        "layers.0.self_attn.v_proj.lora_b",
        "layers.1.self_attn.v_proj.lora_b",
        "layers.2.self_attn.v_proj.lora_b",
    ];
    let with = |dropout| loss(&adapted(&context, 3, dropout)).value();
    assert_ne!(with(0.3), with(0.0));
    let trainee = adapted(&context, 3, 0.3);
    let gradients = loss(&trainee).gradients(&trainee, 1.0);
    let mut collect = Collect {
        gradients: &gradients,
        path: Vec::new(),
        found: BTreeMap::new(),
    };
    trainee.visit(&mut collect);
    for part in parts {
        let of_part = |(path, _): &(&String, &Vec<f32>)| path.contains(part);
        let gradient: BTreeMap<_, _> = collect.found.iter().filter(of_part).collect();
        let squares = gradient.values().flat_map(|values| values.iter());
        let length = squares.map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        assert!(length > 1e-2, "{part}: {length}");
        let along = |step: f64| {
            let mut step = Step {
                direction: &gradient,
                factor: step / length,
                path: Vec::new(),
            };
            loss(&trainee.clone().map(&mut step)).value()
        };
        let (slope, noise) = derivative(along, 0.2);
        let error = (length - slope).abs() / slope.abs().max(1e-2);
        let measured = format!("{part}: autodiff {length} differences {slope} ± {noise}");
        assert!(noise < 0.01 * slope.abs(), "{measured}");
        assert!(error < 0.05, "{measured}");
    }
}

#[test]
fn a_stopped_run_draws_the_same_dropout() {
    let _turn = alone();
    let device = Default::default();
    let run = |precision: &str, stop: Option<u64>| {
        let mut asked = stage("instruct", 4, 2);
        asked["recompute_layers"] = json!(true);
        asked["recompute"] = json!(true);
        asked["precision"] = json!(precision);
        let mut config = train_config(vec![asked]);
        config.model.llm.num_hidden_layers = 3;
        config.model.lora = Some(LoraConfig {
            dropout: 0.3,
            ..Default::default()
        });
        let folder = tempfile::tempdir().unwrap();
        let run = folders(folder.path());
        if stop.is_some() {
            assert!(!launch::<TrainBackend>(&config, &run, stop, &device).unwrap());
        }
        assert!(launch::<TrainBackend>(&config, &run, None, &device).unwrap());
        fs::read(folder.path().join("model/model.safetensors")).unwrap()
    };
    for precision in ["f32", "bf16"] {
        assert!(run(precision, None) == run(precision, Some(2)));
    }
}

#[test]
fn a_plan_knows_of_layers_computed_again() {
    let folder = tempfile::tempdir().unwrap();
    let activations = |layers: bool| {
        let mut asked = stage("instruct", 1, 2);
        asked["recompute_layers"] = json!(layers);
        let mut config = train_config(vec![asked]);
        config.model.llm.num_hidden_layers = 8;
        let run = folders(folder.path());
        let plan = Plan::new::<TrainBackend>(&config, &run, &Default::default()).unwrap();
        plan.stages[0].activations.unwrap()
    };
    assert!(activations(true) < 0.4 * activations(false));
}

#[test]
fn dropout_is_not_drawn_again_beside_other_threads() {
    let _turn = alone();
    let mut asked = stage("instruct", 1, 2);
    asked["recompute_layers"] = json!(true);
    asked["parallel"] = json!(true);
    asked["accumulation"] = json!(2);
    let mut config = train_config(vec![asked]);
    config.model.lora = Some(Default::default());
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("`recompute_layers`"), "{error}");
    config.stages[0].parallel = false;
    config.check().unwrap();
    // Several devices of one process are threads too.
    let folder = tempfile::tempdir().unwrap();
    let devices = [Default::default(); 2];
    let run = folders(folder.path());
    let error = Launch::new(&config, &run)
        .run::<TrainBackend>(&devices)
        .unwrap_err();
    assert!(error.to_string().contains("`--nodes`"), "{error}");
}

#[test]
fn other_stages_take_no_recompute() {
    for name in ["recompute", "recompute_layers"] {
        let mut asked = stage("sam", 1, 1);
        asked[name] = json!(true);
        let error = train_config(vec![asked]).check().unwrap_err();
        assert!(error.to_string().contains("only instruct"), "{error}");
    }
}
