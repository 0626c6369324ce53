//! Qwen 2 from Hugging Face's files compared with transformers (`fixtures/export_qwen2.py`).

use std::path::{Path, PathBuf};

use anyref_llm::{LlamaConfig, Tokenizer};
use serde_json::Value;

use crate::parity::{check, check_greedy};
use crate::support::{TestBackend, fixture, load};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

#[test]
fn states_and_answers_equal_transformers() {
    for name in ["qwen2", "qwen2_tied"] {
        check(name);
        check_greedy(name);
    }
    let (config, _) = fixture("qwen2");
    assert!(config.qkv_bias && !config.attention_bias && !config.tie_word_embeddings);
    assert_eq!(config.theta(), 1e6);
    assert!(fixture("qwen2_tied").0.tie_word_embeddings);
    let (model, _) = load::<TestBackend>("qwen2");
    let attention = &model.model.layers[0].self_attn;
    assert!(attention.q_proj.base_layer.bias.is_some());
    assert!(attention.o_proj.base_layer.bias.is_none());
}

#[test]
fn published_configurations_are_read() {
    // Configuration of Qwen2.5-0.5B-Instruct.
    let config = LlamaConfig::from_json(
        r#"{"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "hidden_act": "silu",
            "hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": 32768,
            "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14,
            "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
            "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true,
            "torch_dtype": "bfloat16", "use_sliding_window": false, "vocab_size": 151936}"#,
    )
    .unwrap();
    assert!(config.qkv_bias && !config.attention_bias && config.tie_word_embeddings);
    assert_eq!((config.head_width(), config.kv_heads()), (64, 2));
    // The scaling type under both of its names.
    let config = LlamaConfig::from_json(
        r#"{"model_type": "qwen2", "sliding_window": null, "rope_scaling":
            {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"}}"#,
    )
    .unwrap();
    let scaling = config.rope_scaling.clone().unwrap();
    assert_eq!(
        (scaling.rope_type.as_str(), scaling.factor),
        ("dynamic", 2.0)
    );
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(LlamaConfig::from_json(&json).unwrap(), config);
    // LLaMA has none of these biases.
    assert!(
        !LlamaConfig::from_json(r#"{"model_type": "llama"}"#)
            .unwrap()
            .qkv_bias
    );

    for windowed in [
        r#"{"model_type": "qwen2", "use_sliding_window": true}"#,
        r#"{"model_type": "qwen2", "layer_types": ["full_attention", "sliding_attention"]}"#,
    ] {
        let error = LlamaConfig::from_json(windowed).unwrap_err().to_string();
        assert!(error.contains("use_sliding_window"), "{error}");
    }
}

#[test]
fn ids_and_texts_are_those_of_qwen2_tokenizer() {
    let golden = std::fs::read_to_string(fixtures().join("qwen2/golden.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let texts: Vec<String> = serde_json::from_value(golden["texts"].clone()).unwrap();
    assert!(texts.len() > 10);
    let merges = Tokenizer::from_folder(fixtures().join("qwen2")).unwrap();
    let json = Tokenizer::from_folder(fixtures().join("qwen2_json")).unwrap();
    let saved = Tokenizer::from_bytes(merges.to_json().unwrap().as_bytes()).unwrap();
    for tokenizer in [&merges, &json, &saved] {
        assert_eq!(tokenizer.vocab_size(), json.vocab_size());
        for (index, text) in texts.iter().enumerate() {
            let expected: Vec<u32> = serde_json::from_value(golden["ids"][index].clone()).unwrap();
            assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{text:?}");
            let decoded = tokenizer.decode_with_special(&expected).unwrap();
            assert_eq!(decoded, golden["decoded"][index].as_str().unwrap());
            let decoded = tokenizer.decode(&expected).unwrap();
            assert_eq!(decoded, golden["without_special"][index].as_str().unwrap());
        }
    }
}

#[test]
fn damaged_folders_are_refused_by_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        std::fs::copy(
            fixtures().join("qwen2").join(name),
            folder.path().join(name),
        )
        .unwrap();
    };
    let refused = |words: &str| {
        let line = Tokenizer::from_folder(folder.path())
            .unwrap_err()
            .to_string();
        assert!(line.contains(words) && !line.contains('\n'), "{line}");
    };
    copy("vocab.json");
    refused("merges.txt");
    assert!(!Tokenizer::is_in_folder(folder.path()));
    copy("merges.txt");
    assert!(Tokenizer::is_in_folder(folder.path()));
    refused("`tokenizer_class` is missing");
    let config = folder.path().join("tokenizer_config.json");
    std::fs::write(&config, r#"{"tokenizer_class": "T5Tokenizer"}"#).unwrap();
    refused("T5Tokenizer");
    let added = r#"{"tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": {"9999": {"content": "[SEG]"}}}"#;
    std::fs::write(&config, added).unwrap();
    refused("9999");
    copy("tokenizer_config.json");
    std::fs::write(folder.path().join("merges.txt"), "#version: 0.2\nzq qz\n").unwrap();
    refused("vocab.json");
    std::fs::write(folder.path().join("merges.txt"), "one\n").unwrap();
    refused("line 1");
}
