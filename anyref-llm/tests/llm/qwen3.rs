//! Qwen 3 from Hugging Face's files compared with transformers (`fixtures/export_qwen3.py`).

use anyref_llm::LlamaConfig;

use crate::parity::{check, check_greedy};
use crate::support::{TestBackend, fixture, load};

#[test]
fn states_and_answers_equal_transformers() {
    check("qwen3");
    check_greedy("qwen3");
    let (config, _) = fixture("qwen3");
    assert!(config.qk_norm && !config.qkv_bias && !config.attention_bias);
    // Heads wider than their share of the model's width.
    assert_eq!((config.hidden_size, config.head_width()), (24, 8));
    let (model, _) = load::<TestBackend>("qwen3");
    let attention = &model.model.layers[0].self_attn;
    assert_eq!(attention.q_norm.as_ref().unwrap().weight.val().dims(), [8]);
    assert!(attention.q_proj.base_layer.bias.is_none());
}

#[test]
fn published_configurations_are_read() {
    // Configuration of Qwen3-0.6B.
    let published = r#"{"architectures": ["Qwen3ForCausalLM"], "attention_bias": false,
        "attention_dropout": 0.0, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
        "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28,
        "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null,
        "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true,
        "torch_dtype": "bfloat16", "use_sliding_window": false, "vocab_size": 151936}"#;
    let config = LlamaConfig::from_json(published).unwrap();
    assert!(config.qk_norm && config.tie_word_embeddings && !config.qkv_bias);
    assert_eq!((config.head_width(), config.kv_heads()), (128, 8));
    let without = LlamaConfig::from_json(&published.replace("\"head_dim\": 128,", "")).unwrap();
    assert_eq!(without, config);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(LlamaConfig::from_json(&json).unwrap(), config);
    // Files of other models are as they were.
    let llama = serde_json::to_string(&LlamaConfig::tiny()).unwrap();
    assert!(!llama.contains("qk_norm"), "{llama}");
    let windowed = published.replace(
        "\"use_sliding_window\": false",
        "\"use_sliding_window\": true",
    );
    let error = LlamaConfig::from_json(&windowed).unwrap_err().to_string();
    assert!(error.contains("use_sliding_window"), "{error}");
}
