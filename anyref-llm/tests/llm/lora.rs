//! Adapters compared with peft's.

use std::collections::HashMap;

use anyref_llm::{Llama, LlamaConfig, LlamaInput, LoraConfig};
use anyref_ops::testing::{assert_close, fill, max_abs_error};
use anyref_weights::testing::Fixture;
use anyref_weights::{SaveOptions, load_module, save_module};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::support::{TestAutodiff, TestBackend, fixture, hidden, ids, options, random_model};

fn adapted<B: Backend>() -> (Llama<B>, Fixture) {
    let (config, fixture) = fixture("lora");
    let lora = LoraConfig::from_peft(&fixture.checkpoint().metadata()["adapter"]).unwrap();
    assert_eq!((lora.r, lora.alpha, lora.dropout), (4, 6.0, 0.05));
    let mut model = config
        .init::<B>(&Default::default())
        .with_lora(&lora)
        .unwrap();
    load_module(&mut model, fixture.checkpoint(), &options()).unwrap();
    (model, fixture)
}

fn logits<B: Backend>(model: &Llama<B>, fixture: &Fixture) -> Tensor<B, 3> {
    let ids = fixture.int_tensor("ids", &Default::default());
    let input = LlamaInput::new(model.embed(ids));
    model.logits(model.forward(input, None).hidden)
}

/// Model whose adapters have an effect.
fn random_adapted<B: Backend>(config: &LoraConfig) -> Llama<B> {
    fill(
        random_model::<B>(&LlamaConfig::tiny())
            .with_lora(config)
            .unwrap(),
        9,
        0.3,
    )
}

fn all_projections() -> LoraConfig {
    let names = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ];
    LoraConfig {
        target_modules: names.map(String::from).to_vec(),
        ..LoraConfig::default()
    }
}

#[test]
fn logits_are_those_of_peft() {
    let (model, fixture) = adapted::<TestBackend>();
    let expected = fixture.tensor("expected.logits", &Default::default());
    let found = logits(&model, &fixture);
    println!("differ by {:.1e}", max_abs_error(&found, &expected));
    assert_close(&found, &expected, 1e-4);
    assert_close(&logits(&model.merge_lora(), &fixture), &expected, 1e-4);
}

#[test]
fn gradients_are_those_of_peft() {
    let (model, fixture) = adapted::<TestAutodiff>();
    // Dropout is drawn anew in every step, so the comparison disables it.
    let mut model = model.freeze_base();
    for layer in &mut model.model.layers {
        layer.self_attn.q_proj.dropout.prob = 0.0;
        layer.self_attn.v_proj.dropout.prob = 0.0;
        layer.mlp.down_proj.dropout.prob = 0.0;
    }
    let grads = logits(&model, &fixture).square().mean().backward();
    let grads = GradientsParams::from_grads(grads, &model);
    assert_eq!(grads.len(), 2 * 2 * 3, "only the adapters are trained");
    let wanted = |name: &str| {
        let name = name.replace("lora_a", "lora_A").replace("lora_b", "lora_B");
        let name = format!("gradient.base_model.model.{name}");
        fixture
            .tensor::<TestBackend, 2>(&name, &Default::default())
            .transpose()
    };
    for (index, layer) in model.model.layers.iter().enumerate() {
        let projections = [
            ("self_attn.q_proj", &layer.self_attn.q_proj),
            ("self_attn.v_proj", &layer.self_attn.v_proj),
            ("mlp.down_proj", &layer.mlp.down_proj),
        ];
        for (name, linear) in projections {
            for (part, lora) in [("lora_a", &linear.lora_a), ("lora_b", &linear.lora_b)] {
                let id = lora.as_ref().unwrap().weight.dense().unwrap().id;
                let found = grads.get::<TestBackend, 2>(id).unwrap();
                let name = format!("model.layers.{index}.{name}.{part}.weight");
                let error = max_abs_error(&found, &wanted(&name));
                assert!(error <= 1e-4, "{name} differs by {error:.1e}");
            }
        }
    }
}

#[test]
fn fresh_adapters_change_nothing_and_are_bounded_as_pefts() {
    let plain = random_model::<TestBackend>(&LlamaConfig::tiny());
    let model = plain.clone().with_lora(&all_projections()).unwrap();
    assert!(model.has_lora() && !plain.has_lora());
    let rows: &[&[i64]] = &[&[5, 17, 3]];
    assert_close(&hidden(&model, rows), &hidden(&plain, rows), 0.0);
    let lora_a = model.model.layers[0]
        .mlp
        .down_proj
        .lora_a
        .clone()
        .unwrap()
        .weight
        .val();
    assert_eq!(lora_a.dims(), [64, 8]);
    let bound = 1.0 / 64f32.sqrt();
    let largest = lora_a.clone().abs().max().into_scalar();
    assert!(
        largest <= bound && largest > 0.9 * bound,
        "{largest} for {bound}"
    );
    let spread = lora_a.square().mean().into_scalar().sqrt();
    assert!(
        (spread * 3f32.sqrt() / bound - 1.0).abs() < 0.1,
        "not uniform: {spread}"
    );
}

#[test]
fn merged_is_unmerged() {
    let rows: &[&[i64]] = &[&[5, 17, 3, 99, 40]];
    let model = random_adapted::<TestBackend>(&all_projections());
    let before = hidden(&model, rows);
    let plain = hidden(&random_base(&model), rows);
    assert!(
        max_abs_error(&before, &plain) > 1e-2,
        "the adapters do nothing"
    );

    let folded = model.clone().set_lora_merged(true);
    assert_close(&hidden(&folded, rows), &before, 1e-4);
    let folded_twice = folded.clone().set_lora_merged(true);
    assert_close(&hidden(&folded_twice, rows), &before, 1e-4);
    let unfolded = folded.set_lora_merged(false);
    assert_close(&hidden(&unfolded, rows), &before, 1e-4);
    assert_close(&hidden(&random_base(&unfolded), rows), &plain, 1e-4);

    let merged = model.merge_lora();
    assert!(!merged.has_lora());
    assert_close(&hidden(&merged, rows), &before, 1e-4);
}

/// Model without its adapters.
fn random_base(model: &Llama<TestBackend>) -> Llama<TestBackend> {
    let mut model = model.clone();
    for layer in &mut model.model.layers {
        let attention = &mut layer.self_attn;
        for linear in [
            &mut attention.q_proj,
            &mut attention.k_proj,
            &mut attention.v_proj,
            &mut attention.o_proj,
            &mut layer.mlp.gate_proj,
            &mut layer.mlp.up_proj,
            &mut layer.mlp.down_proj,
        ] {
            *linear = linear.clone().without_lora();
        }
    }
    model
}

#[test]
fn dropout_acts_in_training_only() {
    let config = LoraConfig {
        dropout: 0.5,
        ..all_projections()
    };
    let rows: &[&[i64]] = &[&[5, 17, 3, 99, 40]];
    let training = random_adapted::<TestAutodiff>(&config);
    let first = hidden(&training, rows);
    assert!(max_abs_error(&first, &hidden(&training, rows)) > 1e-3);
    let model = burn::module::AutodiffModule::valid(&training);
    assert_close(&hidden(&model, rows), &hidden(&model, rows), 0.0);
}

#[test]
fn a_frozen_base_learns_nothing_and_keeps_lazy_weights_lazy() {
    let model = LlamaConfig::tiny().init::<TestAutodiff>(&Default::default());
    let model = model
        .with_lora(&LoraConfig::default())
        .unwrap()
        .freeze_base();
    assert!(
        !model.model.layers[0]
            .self_attn
            .q_proj
            .base_layer
            .weight
            .is_initialized()
    );
    assert!(!model.model.embed_tokens.weight.is_initialized());
    let input = LlamaInput::new(model.embed(ids(&[&[1, 2, 3]])));
    let grads = model
        .logits(model.forward(input, None).hidden)
        .sum()
        .backward();
    let grads = GradientsParams::from_grads(grads, &model);
    assert_eq!(grads.len(), 2 * 2 * 2);
}

#[test]
fn configurations_are_checked() {
    let model = || LlamaConfig::tiny().init::<TestBackend>(&Default::default());
    let refused = |config: LoraConfig, field: &str| {
        let error = model().with_lora(&config).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{error}");
    };
    let good = LoraConfig::default;
    refused(LoraConfig { r: 0, ..good() }, "r");
    refused(
        LoraConfig {
            dropout: 1.0,
            ..good()
        },
        "lora_dropout",
    );
    refused(
        LoraConfig {
            target_modules: vec![],
            ..good()
        },
        "target_modules",
    );
    refused(
        LoraConfig {
            target_modules: vec!["proj".into()],
            ..good()
        },
        "target_modules",
    );
    let only = vec!["layers.1.self_attn.q_proj".into()];
    let one = model()
        .with_lora(&LoraConfig {
            target_modules: only,
            ..good()
        })
        .unwrap();
    assert!(one.model.layers[0].self_attn.q_proj.lora_a.is_none());
    assert!(one.model.layers[1].self_attn.q_proj.lora_a.is_some());

    let json = serde_json::to_string(&good()).unwrap();
    assert!(
        json.contains("lora_alpha") && json.contains("lora_dropout"),
        "{json}"
    );
    assert_eq!(LoraConfig::from_peft(&json).unwrap(), good());
    let variant = json.replace('{', r#"{"use_dora":true,"#);
    assert!(
        LoraConfig::from_peft(&variant)
            .unwrap_err()
            .to_string()
            .contains("use_dora")
    );
}

#[test]
fn a_saved_model_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let model = random_adapted::<TestBackend>(&all_projections());
    let path = save_module(
        &model,
        folder.path().join("model.safetensors"),
        &SaveOptions::default(),
    )
    .unwrap();
    let fresh = LlamaConfig::tiny().init::<TestBackend>(&Default::default());
    let mut fresh = fresh.with_lora(&all_projections()).unwrap();
    let checkpoint = anyref_weights::Checkpoint::open(path).unwrap();
    load_module(&mut fresh, &checkpoint, &Default::default()).unwrap();
    let rows: &[&[i64]] = &[&[5, 17, 3, 99, 40]];
    assert_close(&hidden(&fresh, rows), &hidden(&model, rows), 0.0);
}

#[test]
fn weights_from_scratch_have_the_spread_asked_for() {
    let config = LlamaConfig {
        initializer_range: 0.05,
        attention_bias: true,
        tie_word_embeddings: false,
        ..LlamaConfig::tiny()
    };
    struct Spread(HashMap<Vec<usize>, f32>);
    impl ModuleVisitor<TestBackend> for Spread {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<TestBackend, D>>) {
            let spread = param.val().square().mean().into_scalar().sqrt();
            if D == 1 {
                assert!(
                    spread == 0.0 || spread == 1.0,
                    "biases are 0 and norms 1, not {spread}"
                );
            } else {
                assert!(
                    (spread - 0.05).abs() < 0.006,
                    "{spread} for {:?}",
                    param.dims()
                );
            }
            self.0.insert(param.dims().to_vec(), spread);
        }
    }
    let mut spread = Spread(HashMap::new());
    config
        .init::<TestBackend>(&Default::default())
        .visit(&mut spread);
    assert!(spread.0.len() > 5);
}

#[test]
fn a_resized_vocabulary_keeps_its_tokens() {
    for tied in [false, true] {
        let config = LlamaConfig {
            tie_word_embeddings: tied,
            ..LlamaConfig::tiny()
        };
        let model = random_model::<TestBackend>(&config);
        let larger = model.clone().resize_vocabulary(135);
        let rows: &[&[i64]] = &[&[5, 17, 3]];
        let before = model.logits(hidden(&model, rows));
        let after = larger.logits(hidden(&larger, rows));
        assert_eq!(after.dims(), [1, 3, 135]);
        assert_close(&after.clone().narrow(2, 0, 128), &before, 1e-6);
        let mean = before.clone().mean_dim(2).repeat_dim(2, 7);
        assert_close(&after.narrow(2, 128, 7), &mean, 1e-5);
        let smaller = larger.resize_vocabulary(128);
        assert_close(&smaller.logits(hidden(&smaller, rows)), &before, 0.0);
    }
}

#[test]
fn adapters_in_single_precision_work_over_a_half_precision_base() {
    use burn::tensor::{DType, FloatDType};

    struct Halve {
        path: Vec<String>,
    }
    impl ModuleMapper<TestBackend> for Halve {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn map_float<const D: usize>(
            &mut self,
            param: Param<Tensor<TestBackend, D>>,
        ) -> Param<Tensor<TestBackend, D>> {
            if self.path.iter().any(|name| name.starts_with("lora_")) {
                return param;
            }
            param.map(|tensor| tensor.cast(FloatDType::BF16))
        }
    }

    let rows: &[&[i64]] = &[&[5, 17, 3, 99, 40]];
    let model = random_adapted::<TestBackend>(&all_projections());
    let exact = hidden(&model, rows);
    let half = model.map(&mut Halve { path: vec![] });
    let merged = half.clone().merge_lora();
    assert_eq!(
        merged.model.layers[0].mlp.up_proj.base_layer.weight.dtype(),
        DType::BF16
    );
    for model in [half, merged] {
        let found = hidden(&model, rows);
        assert_eq!(found.dtype(), DType::BF16);
        let error = max_abs_error(&found.cast(FloatDType::F32), &exact);
        assert!(error < 0.1 && error > 0.0, "{error}");
    }
}
