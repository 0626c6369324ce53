//! Numbers equal to those of transformers' `LlamaForCausalLM`.

use anyref_llm::{
    GenerationConfig, GenerationInput, Llama, LlamaConfig, LlamaInput, RopeScaling, generate,
};
use anyref_ops::testing::{assert_close, max_abs_error};
use anyref_weights::testing::Fixture;
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Int, Tensor};

use crate::support::{TestBackend, go_on, load};

const TOLERANCE: f64 = 1e-4;

pub fn check(name: &str) {
    let (model, fixture) = load::<TestBackend>(name);
    check_with(name, &model, &fixture);
}

/// Compares a loaded model with what its fixture expects.
pub fn check_with(name: &str, model: &Llama<TestBackend>, fixture: &Fixture) {
    let device = Default::default();
    let ids = fixture.int_tensor::<TestBackend, 2>("ids", &device);
    let output = model.forward(LlamaInput::new(model.embed(ids.clone())), None);
    let logits = model.logits(output.hidden.clone());
    let expected = fixture.tensor("expected.hidden", &device);
    println!(
        "{name}: hidden differ by {:.1e}",
        max_abs_error(&output.hidden, &expected)
    );
    assert_close(&output.hidden, &expected, TOLERANCE);
    let expected = fixture.tensor("expected.logits", &device);
    println!(
        "{name}: logits differ by {:.1e}",
        max_abs_error(&logits, &expected)
    );
    assert_close(&logits, &expected, TOLERANCE);

    // Output of refocusing from the last layer's queries and keys.
    let [_, heads, length, head_dim] = output.query.dims();
    let [batch, kv_heads, ..] = output.key.dims();
    let key = output
        .key
        .unsqueeze_dim::<5>(2)
        .repeat_dim(2, heads / kv_heads);
    let key = key.reshape([batch, heads, length, head_dim]);
    let scores = output.query.matmul(key.transpose()) / (head_dim as f64).sqrt();
    let future = Tensor::<TestBackend, 2, Bool>::tril_mask([length, length], 0, &device);
    let future = future
        .unsqueeze::<4>()
        .expand([batch, heads, length, length]);
    let attention = softmax(scores.mask_fill(future, -1e30), 3);
    let expected = fixture.tensor("expected.attention", &device);
    println!(
        "{name}: attention differs by {:.1e}",
        max_abs_error(&attention, &expected)
    );
    assert_close(&attention, &expected, TOLERANCE);

    let padding = fixture
        .int_tensor::<TestBackend, 2>("padding", &device)
        .bool();
    let input = LlamaInput::new(model.embed(ids)).with_padding(Some(padding));
    let logits = model.logits(model.forward(input, None).hidden);
    let expected: Tensor<TestBackend, 3> = fixture.tensor("expected.padded_logits", &device);
    // Values at padding are meaningless.
    for (row, start) in [(0, 0), (1, 5)] {
        let part = |x: Tensor<TestBackend, 3>| x.slice([row..row + 1, start..20]);
        let error = max_abs_error(&part(logits.clone()), &part(expected.clone()));
        println!("{name}: padded row {row} differs by {error:.1e}");
        assert_close(&part(logits.clone()), &part(expected.clone()), TOLERANCE);
    }
}

pub fn check_greedy(name: &str) {
    let (model, fixture) = load::<TestBackend>(name);
    check_greedy_with(&model, &fixture);
}

/// Compares the greedy tokens of a loaded model with those that its fixture expects.
pub fn check_greedy_with(model: &Llama<TestBackend>, fixture: &Fixture) {
    let device = Default::default();
    let ids: Tensor<TestBackend, 2, Int> = fixture.int_tensor("ids", &device);
    let prompt = model.embed(ids.narrow(1, 0, 6));
    let config = GenerationConfig::greedy(64);
    let output = generate(model, GenerationInput::new(prompt), &config, go_on).unwrap();
    let expected: Vec<u32> = fixture.data("expected.greedy").iter::<u32>().collect();
    assert_eq!(output.tokens.concat(), expected);
}

#[test]
fn grouped_queries() {
    check("gqa");
    check_greedy("gqa");
}

#[test]
fn tied_head_and_own_head_width() {
    check("tied");
    check_greedy("tied");
}

#[test]
fn biases_and_one_key_head() {
    check("biases");
    check_greedy("biases");
}

#[test]
fn linear_rope_scaling() {
    check("rope_linear");
    check_greedy("rope_linear");
}

#[test]
fn dynamic_rope_scaling_beyond_the_context() {
    check("rope_dynamic");
}

#[test]
fn llama3_rope_scaling() {
    check("rope_llama3");
    check_greedy("rope_llama3");
}

#[test]
fn configurations_of_old_and_new_files() {
    let old = r#"{"hidden_size": 64, "num_attention_heads": 4, "rope_theta": 500000.0,
        "rope_scaling": {"type": "linear", "factor": 2.0}, "model_type": "llama"}"#;
    let config = LlamaConfig::from_json(old).unwrap();
    assert_eq!(
        (config.theta(), config.kv_heads(), config.head_width()),
        (5e5, 4, 16)
    );
    assert_eq!(config.rope_scaling.unwrap().factor, 2.0);
    let new = r#"{"rope_parameters": {"rope_type": "default", "rope_theta": 50000.0}}"#;
    assert_eq!(LlamaConfig::from_json(new).unwrap().theta(), 5e4);
    let config = LlamaConfig::tiny();
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(LlamaConfig::from_json(&json).unwrap(), config);
}

#[test]
fn impossible_configurations_are_refused() {
    let refused = |json: &str, field: &str| {
        let error = LlamaConfig::from_json(json).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{error}");
    };
    refused(r#"{"num_attention_heads": 3}"#, "hidden_size");
    refused(r#"{"num_key_value_heads": 5}"#, "num_key_value_heads");
    refused(r#"{"num_hidden_layers": 0}"#, "num_hidden_layers");
    refused(r#"{"head_dim": 7}"#, "head_dim");
    refused(r#"{"hidden_act": "gelu"}"#, "hidden_act");
    refused(r#"{"rope_theta": 0}"#, "rope_theta");
    refused(
        r#"{"rope_scaling": {"type": "yarn", "factor": 2}}"#,
        "rope_scaling",
    );
    refused(
        r#"{"rope_scaling": {"rope_type": "llama3", "factor": 2}}"#,
        "rope_scaling",
    );
}

#[test]
fn scaling_by_one_changes_nothing() {
    use crate::support::{hidden, random_model};
    let plain = LlamaConfig::tiny();
    let json = r#"{"type": "linear", "factor": 1.0}"#;
    let scaling: RopeScaling = serde_json::from_str(json).unwrap();
    let scaled = LlamaConfig {
        rope_scaling: Some(scaling),
        ..plain.clone()
    };
    let rows: &[&[i64]] = &[&[1, 2, 3, 4]];
    let plain = hidden(&random_model::<TestBackend>(&plain), rows);
    assert_close(
        &plain,
        &hidden(&random_model::<TestBackend>(&scaled), rows),
        0.0,
    );
}
