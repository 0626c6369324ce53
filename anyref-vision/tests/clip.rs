//! CLIP tower compared with transformers.

use anyref_ops::testing::assert_close;
use anyref_vision::clip::{ClipVisionConfig, ClipVisionModel, HiddenAct};
use anyref_vision::import;
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, load_module};
use burn::tensor::Tensor;

type TestBackend = burn_flex::Flex;

fn config(hidden_act: HiddenAct) -> ClipVisionConfig {
    ClipVisionConfig {
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_channels: 3,
        // Not a multiple of the patch: two lines of pixels belong to no patch.
        image_size: 30,
        patch_size: 7,
        hidden_act,
        layer_norm_eps: 1e-5,
    }
}

fn fixture() -> Fixture {
    Fixture::open("tests/fixtures/clip.safetensors")
}

fn load(fixture: &Fixture, hidden_act: HiddenAct) -> ClipVisionModel<TestBackend> {
    let mut model = config(hidden_act).init(&Default::default());
    let options = LoadOptions::default()
        .with_renames(import::CLIP_VISION)
        .with_all_unused(&["pixels", "hidden_states", "pooler_output", "gelu"]);
    load_module(&mut model, fixture.checkpoint(), &options).unwrap();
    model
}

#[test]
fn hidden_states_equal_transformers() {
    let fixture = fixture();
    let device = Default::default();
    let model = load(&fixture, HiddenAct::QuickGelu);
    let pixels: Tensor<TestBackend, 4> = fixture.tensor("pixels", &device);
    let states = model.hidden_states(pixels.clone());
    assert_eq!(states.len(), 4);
    for (index, state) in states.iter().enumerate() {
        let expected = fixture.tensor(&format!("hidden_states.{index}"), &device);
        assert_close(state, &expected, 1e-4);
    }
    let output = model.forward(pixels);
    assert_close(&output.last_hidden_state, &states[3], 0.0);
    assert_close(
        &output.pooler_output,
        &fixture.tensor("pooler_output", &device),
        1e-4,
    );
}

#[test]
fn gelu_equals_transformers() {
    let fixture = fixture();
    let device = Default::default();
    let model = load(&fixture, HiddenAct::Gelu);
    let output = model.forward(fixture.tensor("pixels", &device));
    assert_close(
        &output.last_hidden_state,
        &fixture.tensor("gelu", &device),
        1e-4,
    );
}

#[test]
fn features_are_hidden_states_without_class_token() {
    let fixture = fixture();
    let device = Default::default();
    let model = load(&fixture, HiddenAct::QuickGelu);
    let pixels: Tensor<TestBackend, 4> = fixture.tensor("pixels", &device);
    let states = model.hidden_states(pixels.clone());
    for (layer, index) in [(-4, 0), (-2, 2), (-1, 3), (0, 0), (1, 1), (3, 3)] {
        let features = model.features(pixels.clone(), layer);
        assert_eq!(
            features.dims(),
            [2, config(HiddenAct::QuickGelu).num_patches(), 32]
        );
        assert_close(&features, &states[index].clone().narrow(1, 1, 16), 0.0);
    }
}

#[test]
fn pictures_of_a_batch_do_not_mix() {
    let fixture = fixture();
    let device = Default::default();
    let model = load(&fixture, HiddenAct::QuickGelu);
    let pixels: Tensor<TestBackend, 4> = fixture.tensor("pixels", &device);
    let together = model.features(pixels.clone(), -2);
    for index in 0..2 {
        let alone = model.features(pixels.clone().narrow(0, index, 1), -2);
        assert_close(&alone, &together.clone().narrow(0, index, 1), 1e-5);
    }
}

#[test]
fn layers_that_do_not_exist_are_refused() {
    let config = config(HiddenAct::QuickGelu);
    assert_eq!(config.layers_until(-4).unwrap(), 0);
    assert_eq!(config.layers_until(3).unwrap(), 3);
    for layer in [4, -5, i32::MIN, i32::MAX] {
        let message = config.layers_until(layer).unwrap_err().to_string();
        assert!(
            message.contains(&layer.to_string()) && message.contains("-4 to 3"),
            "{message}"
        );
    }
}

#[test]
fn reads_the_vision_config_of_transformers() {
    let config: ClipVisionConfig = serde_json::from_str(
        r#"{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
            "num_attention_heads": 12, "patch_size": 32, "projection_dim": 512,
            "model_type": "clip_vision_model", "hidden_act": "gelu"}"#,
    )
    .unwrap();
    assert_eq!(config.hidden_act, HiddenAct::Gelu);
    assert_eq!(
        (config.hidden_size, config.image_size, config.grid_size()),
        (768, 224, 7)
    );
    let default = ClipVisionConfig::vit_large_patch14();
    assert_eq!(
        (default.num_patches(), default.layers_until(-2).unwrap()),
        (256, 23)
    );
}
