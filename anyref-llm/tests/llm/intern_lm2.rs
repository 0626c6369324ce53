//! InternLM 2 in its authors' layout compared with transformers' LLaMA, and its tokenizer with
//! SentencePiece (`fixtures/export_intern_lm2.py`).

use std::path::{Path, PathBuf};

use anyref_llm::{Llama, LlamaConfig, RopeScaling, Tokenizer, import, intern_lm2_checkpoint};
use anyref_weights::{Checkpoint, LoadOptions, OutputTensor, load_module};
use serde_json::Value;

use crate::parity::{check_greedy_with, check_with};
use crate::support::{TestBackend, fixture};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/intern_lm2")
}

fn options() -> LoadOptions {
    LoadOptions::default()
        .with_renames(import::INTERN_LM2)
        .with_allow_unused(r"^(ids|padding|expected\..*)$")
}

fn load() -> Llama<TestBackend> {
    let (config, fixture) = fixture("intern_lm2");
    let checkpoint = intern_lm2_checkpoint(fixture.checkpoint(), &config).unwrap();
    let mut model = config.init::<TestBackend>(&Default::default());
    let report = load_module(&mut model, &checkpoint, &options()).unwrap();
    assert_eq!(report.loaded.len(), 21);
    model
}

#[test]
fn states_and_answers_equal_those_of_the_rows_taken_apart() {
    let (config, fixture) = fixture("intern_lm2");
    assert_eq!((config.kv_heads(), config.head_width()), (2, 4));
    assert!(!config.attention_bias && config.theta() == 1e6);
    assert_eq!(config.rope_scaling, Some(RopeScaling::dynamic(2.0)));
    check_with("intern_lm2", &load(), &fixture);
    check_greedy_with(&load(), &fixture);
}

#[test]
fn only_the_common_matrices_are_taken_apart() {
    let (config, fixture) = fixture("intern_lm2");
    let whole = fixture.checkpoint();
    let apart = intern_lm2_checkpoint(whole, &config).unwrap();
    assert_eq!(apart.len(), whole.len() + 2 * 2);
    assert!(apart.tensors().all(|entry| !entry.name.contains("wqkv")));
    let other = "model.layers.0.attention.wo.weight";
    let read = |checkpoint: &Checkpoint| checkpoint.require(other).unwrap().read().unwrap();
    assert_eq!(read(&apart), read(whole));
    // In the type of the file, whatever it is.
    let name = "model.layers.1.attention.wk.weight";
    assert_eq!(apart.require(name).unwrap().shape, [8, 24]);
}

#[test]
fn biases_are_on_unless_the_config_says_otherwise() {
    let read = |json: &str| LlamaConfig::from_json(json).unwrap();
    assert!(read(r#"{"model_type": "internlm2"}"#).attention_bias);
    let config = read(r#"{"model_type": "internlm2", "bias": false}"#);
    assert!(!config.attention_bias);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(read(&json), config);
    // The bias of the common matrix is taken apart as its rows are.
    let config = LlamaConfig {
        attention_bias: true,
        ..LlamaConfig::tiny()
    };
    let values: Vec<f32> = (0..64).map(|row| row as f32).collect();
    let bias = OutputTensor::new(
        "model.layers.0.attention.wqkv.bias",
        burn::tensor::DType::F32,
        [64],
        move || Ok(burn::tensor::TensorData::new(values.clone(), [64])),
    );
    let bias = Checkpoint::of_tensors("made", vec![bias]).unwrap();
    let apart = intern_lm2_checkpoint(&bias, &config).unwrap();
    let rows = |part: &str| {
        let name = format!("model.layers.0.attention.{part}.bias");
        let data = apart.require(&name).unwrap().read().unwrap();
        data.iter::<f32>()
            .map(|row| row as usize)
            .collect::<Vec<_>>()
    };
    // Two groups of two heads of queries, one of keys and one of values, of 8 rows each.
    assert_eq!(rows("wq"), (0..16).chain(32..48).collect::<Vec<_>>());
    assert_eq!(rows("wk"), (16..24).chain(48..56).collect::<Vec<_>>());
    assert_eq!(rows("wv"), (24..32).chain(56..64).collect::<Vec<_>>());
}

#[test]
fn matrices_that_the_heads_do_not_fit_are_refused_by_one_line() {
    let (config, fixture) = fixture("intern_lm2");
    let refused = |config: &LlamaConfig, words: &[&str]| {
        let error = intern_lm2_checkpoint(fixture.checkpoint(), config).unwrap_err();
        let line = error.to_string();
        assert_eq!(line.lines().count(), 1, "{line}");
        for word in words {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
    };
    let words = [
        "intern_lm2.safetensors",
        "wqkv",
        "[40, 24]",
        "[72, 24]",
        "one model",
    ];
    let with = |kv_heads| LlamaConfig {
        num_key_value_heads: Some(kv_heads),
        ..config.clone()
    };
    refused(&with(6), &words);
    refused(
        &with(4),
        &["num_key_value_heads", "does not divide", "config.json"],
    );
    let narrow = LlamaConfig {
        hidden_size: 12,
        head_dim: Some(4),
        ..config.clone()
    };
    refused(&narrow, &["[40, 24]", "[40, 12]"]);
}

#[test]
fn ids_are_those_of_sentencepiece_between_the_added_tokens() {
    let golden = std::fs::read_to_string(folder().join("golden.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let tokenizer = Tokenizer::from_folder(folder()).unwrap();
    assert_eq!(
        tokenizer.vocab_size() as u64,
        golden["size"].as_u64().unwrap()
    );
    let saved = Tokenizer::from_bytes(tokenizer.to_json().unwrap().as_bytes()).unwrap();
    let mut named = tokenizer.clone();
    named.rename_token("[SEG]", "<obj>").unwrap();
    let texts = golden["texts"].as_array().unwrap();
    assert!(texts.len() > 10);
    for (text, expected) in texts.iter().zip(golden["ids"].as_array().unwrap()) {
        let text = text.as_str().unwrap();
        let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
        for tokenizer in [&tokenizer, &saved] {
            assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{text:?}");
        }
        let other = text.replace("[SEG]", "<obj>");
        assert_eq!(named.encode(&other, false).unwrap(), expected, "{text:?}");
    }
    // Spare pieces carry the names that the folder gives them, and no others.
    let [end, start] = ["<|im_end|>", "<|im_start|>"].map(|token| tokenizer.token_id(token));
    assert_eq!(end.unwrap() + 1, start.unwrap());
    assert_eq!(tokenizer.token(start.unwrap()).unwrap(), "<|im_start|>");
    assert!(tokenizer.token_id("[UNUSED_TOKEN_8]").is_none());
    assert!(tokenizer.token_id("[UNUSED_TOKEN_2]").is_some());
    let ids = tokenizer.encode("Sure, [SEG].<|im_end|>", true).unwrap();
    assert_eq!((ids[0], ids.last().copied()), (1, end));
    assert_eq!(named.decode(&ids).unwrap(), "Sure, <obj>.");
    assert_eq!(Tokenizer::begins_texts_in_folder(folder()).unwrap(), None);
}

#[test]
fn the_begin_of_sequence_token_is_as_the_folder_states() {
    let folder = tempfile::tempdir().unwrap();
    let stated = |text: &str| {
        std::fs::write(folder.path().join("tokenizer_config.json"), text).unwrap();
        Tokenizer::begins_texts_in_folder(folder.path())
    };
    assert_eq!(stated(r#"{"add_bos_token": false}"#).unwrap(), Some(false));
    assert_eq!(stated(r#"{"add_bos_token": true}"#).unwrap(), Some(true));
    assert_eq!(stated("{}").unwrap(), None);
    let line = stated("{").unwrap_err().to_string();
    assert!(line.contains("tokenizer_config.json"), "{line}");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(
        Tokenizer::begins_texts_in_folder(empty.path()).unwrap(),
        None
    );
}
