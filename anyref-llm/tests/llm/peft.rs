//! Reading and writing of adapter folders, compared with peft.

use std::fs;
use std::path::{Path, PathBuf};

use anyref_llm::peft::{PeftAdapter, PeftConfig, SaveAdapter, save_adapter};
use anyref_llm::{Llama, LlamaInput, LoraConfig};
use anyref_ops::testing::{assert_close, fill, max_abs_difference, max_abs_error};
use anyref_weights::testing::Fixture;
use anyref_weights::{Checkpoint, OutputTensor, SaveOptions, write_checkpoint};
use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::support::{TestBackend, load};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn base() -> Llama<TestBackend> {
    load::<TestBackend>("gqa").0
}

fn logits(model: &Llama<TestBackend>, ids: Tensor<TestBackend, 2, Int>) -> Tensor<TestBackend, 3> {
    let input = LlamaInput::new(model.embed(ids));
    model.logits(model.forward(input, None).hidden)
}

fn fixture() -> Fixture {
    Fixture::open(folder("peft.safetensors"))
}

#[test]
fn folders_give_the_logits_of_peft() {
    let (fixture, device) = (fixture(), Default::default());
    let ids = || fixture.int_tensor("ids", &device);
    for name in ["peft", "peft_bin"] {
        let adapter = PeftAdapter::open(folder(name)).unwrap();
        let model = adapter.apply(base(), Some(DType::F32)).unwrap();
        let expected = fixture.tensor(&format!("expected.{name}"), &device);
        let found = logits(&model, ids());
        println!("{name} differs by {:.1e}", max_abs_error(&found, &expected));
        assert_close(&found, &expected, 1e-4);
        assert_close(&logits(&model.merge_lora(), ids()), &expected, 1e-4);
    }
}

#[test]
fn what_a_folder_holds_is_told_by_name() {
    let adapter = PeftAdapter::open(folder("peft")).unwrap();
    assert!(adapter.config.lora.use_rslora);
    assert_eq!(adapter.config.lora.scaling(), 3.0);
    assert_eq!(adapter.projections().len(), 6);
    assert_eq!(adapter.saved().len(), 0);
    let low_rank = adapter.projection("model.layers.1.mlp.down_proj").unwrap();
    assert_eq!(
        (&low_rank.a.shape[..], &low_rank.b.shape[..]),
        (&[4, 48][..], &[32, 4][..])
    );

    let adapter = PeftAdapter::open(folder("peft_bin")).unwrap();
    assert_eq!(adapter.config.modules_to_save, ["embed_tokens", "lm_head"]);
    assert_eq!(adapter.config.task_type.as_deref(), Some("CAUSAL_LM"));
    let saved: Vec<_> = adapter
        .saved()
        .map(|(name, entry)| (name, &entry.shape[..]))
        .collect();
    let wanted = [
        ("lm_head.weight", &[99, 32][..]),
        ("model.embed_tokens.weight", &[99, 32][..]),
    ];
    assert_eq!(saved, wanted);
}

#[test]
fn one_weight_at_a_time_is_the_whole_model_merged() {
    let adapter = PeftAdapter::open(folder("peft")).unwrap();
    let model = adapter
        .apply(base(), Some(DType::F32))
        .unwrap()
        .merge_lora();
    let gqa = Checkpoint::open(folder("gqa.safetensors")).unwrap();
    let name = "model.layers.1.mlp.down_proj";
    let weight = gqa
        .require(&format!("{name}.weight"))
        .unwrap()
        .read()
        .unwrap();
    let merged = adapter.merge(name, weight.clone()).unwrap().unwrap();
    let whole = model.model.layers[1]
        .mlp
        .down_proj
        .base_layer
        .weight
        .val()
        .transpose();
    assert!(max_abs_difference(&merged, &weight) > 0.1);
    assert!(max_abs_difference(&merged, &whole.into_data()) < 1e-5);
    assert!(
        adapter
            .merge("model.layers.1.mlp.up_proj", weight.clone())
            .unwrap()
            .is_none()
    );
    let error = adapter
        .merge("model.layers.1.self_attn.q_proj", weight)
        .unwrap_err();
    assert!(error.to_string().contains("q_proj"), "{error}");
}

fn trained() -> (Llama<TestBackend>, LoraConfig) {
    let config = LoraConfig {
        r: 3,
        target_modules: vec!["self_attn.k_proj".into(), "gate_proj".into()],
        ..LoraConfig::default()
    };
    let model = base().resize_vocabulary(99).with_lora(&config).unwrap();
    (fill(model, 3, 0.3), config)
}

fn write(path: &Path) -> Llama<TestBackend> {
    let (mut model, config) = trained();
    let untouched = base();
    // Only adapters, embeddings and head were trained.
    for (layer, plain) in model.model.layers.iter_mut().zip(untouched.model.layers) {
        let adapters = layer.clone();
        *layer = plain;
        layer.self_attn.k_proj.lora_a = adapters.self_attn.k_proj.lora_a;
        layer.self_attn.k_proj.lora_b = adapters.self_attn.k_proj.lora_b;
        layer.self_attn.k_proj.scaling = config.scaling();
        layer.mlp.gate_proj.lora_a = adapters.mlp.gate_proj.lora_a;
        layer.mlp.gate_proj.lora_b = adapters.mlp.gate_proj.lora_b;
        layer.mlp.gate_proj.scaling = config.scaling();
    }
    model.model.norm = untouched.model.norm;
    let options = SaveAdapter {
        modules_to_save: vec!["embed_tokens".into(), "lm_head".into()],
        base_model: Some("gqa".into()),
        ..SaveAdapter::default()
    };
    save_adapter(&model, &config, path, options).unwrap();
    model
}

#[test]
fn a_saved_adapter_is_the_same_adapter() {
    let path = tempfile::tempdir().unwrap();
    let model = write(path.path());
    let adapter = PeftAdapter::open(path.path()).unwrap();
    assert_eq!(adapter.config.lora.target_modules.len(), 4);
    let again = adapter.apply(base(), None).unwrap();
    let ids = || fixture().int_tensor("ids", &Default::default());
    assert_close(&logits(&again, ids()), &logits(&model, ids()), 0.0);

    let names: Vec<_> = adapter
        .checkpoint()
        .tensors()
        .map(|t| t.name.clone())
        .collect();
    assert!(
        names.contains(&"base_model.model.lm_head.weight".to_owned()),
        "{names:?}"
    );
    let expected = "base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight";
    assert!(names.contains(&expected.to_owned()), "{names:?}");
}

/// `ANYREF_PYTHON=… cargo test -p anyref-llm -- --ignored peft_reads`
#[test]
#[ignore = "needs a Python with torch, transformers and peft in ANYREF_PYTHON"]
fn peft_reads_what_is_saved() {
    let python = std::env::var("ANYREF_PYTHON").unwrap();
    let path = tempfile::tempdir().unwrap();
    let model = write(path.path());
    let ids = fixture().data("ids");
    let logits = logits(&model, fixture().int_tensor("ids", &Default::default())).into_data();
    let tensor = |name, data: TensorData| {
        let (dtype, shape) = (data.dtype, data.shape.to_vec());
        OutputTensor::new(name, dtype, shape, move || Ok(data.clone()))
    };
    let tensors = vec![tensor("ids", ids), tensor("logits", logits)];
    let file = path.path().join("expected.safetensors");
    write_checkpoint(file, tensors, &SaveOptions::default()).unwrap();
    let output = std::process::Command::new(python)
        .arg(folder("export_peft.py"))
        .args(["--check".as_ref(), path.path().as_os_str()])
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let plain = fs::read_to_string(folder("peft/adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&plain).unwrap();
    PeftConfig::from_json(&plain, "plain").unwrap();
    for (field, value) in [
        ("peft_type", serde_json::json!("IA3")),
        ("bias", "all".into()),
        ("use_dora", true.into()),
        ("fan_in_fan_out", true.into()),
        ("rank_pattern", serde_json::json!({"q_proj": 8})),
        ("alpha_pattern", serde_json::json!({"q_proj": 8})),
        ("layers_to_transform", serde_json::json!([1])),
        ("init_lora_weights", "pissa".into()),
        ("target_parameters", serde_json::json!(["experts"])),
        ("a_field_of_the_future", true.into()),
    ] {
        let mut changed = config.clone();
        changed[field] = value;
        let error = PeftConfig::from_json(&changed.to_string(), "it")
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("`{field}`")), "{error}");
    }
    assert!(
        PeftConfig::from_json("{", "it")
            .unwrap_err()
            .to_string()
            .contains("it")
    );
}

#[test]
fn folders_that_do_not_belong_together_are_refused() {
    let other = tempfile::tempdir().unwrap();
    let path = other.path();
    let refused = |words: &[&str]| {
        let message = PeftAdapter::open(path).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "no {word:?} in {message}");
        }
        assert_eq!(message.lines().count(), 1, "{message}");
    };
    refused(&["adapter_config.json"]);
    let plain = fs::read_to_string(folder("peft/adapter_config.json")).unwrap();
    fs::write(path.join("adapter_config.json"), &plain).unwrap();
    refused(&["adapter_model.safetensors"]);
    let weights = fs::read(folder("peft/adapter_model.safetensors")).unwrap();
    let file = path.join("adapter_model.safetensors");
    fs::write(&file, &weights[..weights.len() - 1]).unwrap();
    refused(&["adapter_model.safetensors", "truncated"]);
    fs::write(&file, &weights).unwrap();
    PeftAdapter::open(path).unwrap();

    let with = |from: &str, to: &str| {
        assert!(plain.contains(from));
        fs::write(path.join("adapter_config.json"), plain.replace(from, to)).unwrap();
    };
    with("\"r\": 4", "\"r\": 8");
    refused(&["rank 8", "down_proj"]);
    with("\"mlp.down_proj\"", "\"mlp.up_proj\"");
    refused(&["mlp.down_proj", "target_modules"]);
    with("\"use_dora\": false", "\"use_dora\": true");
    refused(&["adapter_config.json", "`use_dora`"]);
    // A pattern is less precise than the tensors of the file.
    let list = &plain[plain.find("\"target_modules\"").unwrap()..];
    let list = &list[..=list.find(']').unwrap()];
    with(list, r#""target_modules": ".*_proj""#);
    assert_eq!(PeftAdapter::open(path).unwrap().projections().len(), 6);

    let tiny = anyref_llm::LlamaConfig::tiny().init::<TestBackend>(&Default::default());
    let adapter = PeftAdapter::open(path).unwrap();
    let error = adapter.apply(tiny, None).unwrap_err().to_string();
    assert!(error.contains("down_proj"), "{error}");
}
