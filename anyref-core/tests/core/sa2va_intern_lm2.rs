//! A Sa2VA over InternLM 2, in the layout of Sa2VA-8B, beside a composition of transformers'
//! InternVL, LLaMA and SAM 2 (`fixtures/export_sa2va_intern_lm2.py`).

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow::Continue;
use std::path::Path;

use anyref_core::official::{Kind, LanguageFamily, Published, Sa2vaParts, compare, sa2va_parts};
use anyref_core::{Answer, AnyRef, Assembly, Companions, LowResMask, Prompt, Reference, Template};
use anyref_llm::{LlamaInput, Tokenizer};
use anyref_ops::testing::assert_close;
use anyref_weights::testing::Fixture;
use anyref_weights::{Checkpoint, OutputTensor, SaveOptions, load_module, write_checkpoint};
use burn::tensor::{DType, Int, Tensor, TensorData};
use tempfile::TempDir;

use crate::common::TestBackend;
use crate::parts::{copied, load, published};
use crate::sa2va_whole::{dog, sa2va, shown};

const ANSWER: &str = "<obj> and <obj>.";
const REGION: [f32; 4] = [10.0, 5.0, 58.0, 38.0];
const CONFIG: &str = "config.json";
const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

/// The folder, with InternViT and SAM 2 of `sa2va/` in its second shard.
fn folder() -> TempDir {
    let folder = copied("sa2va_intern_lm2");
    let others = Checkpoint::open(published("sa2va/model.safetensors")).unwrap();
    let parts = ["vision_model.", "grounding_encoder."];
    let kept = others
        .tensors()
        .filter(|entry| parts.iter().any(|part| entry.name.starts_with(part)))
        .map(|entry| OutputTensor::from_entry(&entry.name, entry, None));
    let second = folder.path().join(SECOND);
    write_checkpoint(&second, kept.collect(), &SaveOptions::default()).unwrap();
    let places = [FIRST, SECOND].map(|shard| {
        let shard_tensors = Checkpoint::open(folder.path().join(shard)).unwrap();
        let names = shard_tensors.tensors().map(|entry| entry.name.clone());
        names.map(|name| (name, shard)).collect::<Vec<_>>()
    });
    let places: BTreeMap<String, &str> = places.into_iter().flatten().collect();
    let index = serde_json::json!({ "weight_map": places }).to_string();
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    folder
}

fn opened() -> Fixture {
    Fixture::open(published("expected_sa2va_intern_lm2.safetensors"))
}

fn parts(folder: &Path) -> (Published, Sa2vaParts) {
    let published = Published::open(folder).unwrap();
    assert_eq!(published.kind, Some(Kind::Sa2va));
    let parts = sa2va_parts(&published).unwrap();
    (published, parts)
}

fn model(folder: &Path) -> AnyRef<TestBackend> {
    let mut anyref = load(folder);
    anyref.generation.max_new_tokens = 8;
    anyref
}

fn floats(fixture: &Fixture, name: &str) -> Vec<f32> {
    fixture.data(name).iter::<f32>().collect()
}

fn words(anyref: &AnyRef<TestBackend>, fixture: &Fixture, name: &str) -> String {
    let ids: Vec<u32> = fixture.data(name).iter::<u32>().collect();
    anyref.tokenizer.decode(&ids).unwrap().trim().to_owned()
}

/// Asserts the masks of the fixture, but for pixels on their edges.
fn assert_masks(answer: &Answer, fixture: &Fixture) {
    let (scores, whole) = (floats(fixture, "scores"), floats(fixture, "logits"));
    assert_eq!(answer.masks.len(), scores.len());
    let pixels = whole.len() / scores.len();
    for ((mask, score), whole) in answer.masks.iter().zip(scores).zip(whole.chunks(pixels)) {
        assert!((mask.score - score).abs() < 1e-5, "{} {score}", mask.score);
        for (&found, &logit) in mask.rle.to_mask().iter().zip(whole) {
            if logit.abs() > 1e-4 {
                assert_eq!(found, logit > 0.0);
            }
        }
    }
}

#[test]
fn states_equal_the_composed_reference() {
    let (folder, device, fixture) = (folder(), Default::default(), opened());
    let (published, parts) = parts(folder.path());
    assert_eq!(parts.family, LanguageFamily::InternLm2);
    assert_eq!(parts.template, Template::Internlm2Chat);
    assert!(parts.begins_sequences && !parts.llm.attention_bias);
    let checkpoint = parts.checkpoint(&published).unwrap();
    let mut llm = parts.llm.init::<TestBackend>(&device);
    load_module(&mut llm, &checkpoint, &parts.options().llm).unwrap();

    let picture: Tensor<TestBackend, 3> = fixture.tensor("tokens", &device);
    let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
    let seen = format!("<img>{}</img>", "<IMG_CONTEXT>".repeat(picture.dims()[1]));
    let question = format!("{seen}Please segment the red dog in this image.");
    let prompt = parts.template.conversation().ask(question).open().prompt();
    let ids: Vec<u32> = fixture.data("asked").iter::<u32>().collect();
    assert_eq!(
        tokenizer.encode(&prompt, parts.begins_sequences).unwrap(),
        ids
    );

    let ids: Vec<u32> = fixture.data("ids").iter::<u32>().collect();
    let context = tokenizer.token_id("<IMG_CONTEXT>").unwrap();
    let first = ids.iter().position(|&id| id == context).unwrap();
    let embed = |ids: &[u32]| {
        let data = TensorData::new(ids.to_vec(), [1, ids.len()]);
        llm.embed(Tensor::<TestBackend, 2, Int>::from_data(data, &device))
    };
    let after = embed(&ids[first + picture.dims()[1]..]);
    let embedded = Tensor::cat(vec![embed(&ids[..first]), picture, after], 1);
    let states = llm.forward(LlamaInput::new(embedded), None).hidden;
    let expected = fixture.tensor("states", &device);
    assert_close(&states, &expected, 1e-4);
}

#[test]
fn a_picture_and_a_question_become_the_reference_s_words_and_masks() {
    let (folder, fixture) = (folder(), opened());
    let anyref = model(folder.path());
    assert_eq!(anyref.config.prompts.begins_sequences, None);
    let picture = anyref.picture(&shown()).unwrap();
    let answer = anyref.segment(&picture, &dog()).unwrap();
    assert_eq!(answer.raw, ANSWER);
    assert_masks(&answer, &fixture);

    let mut chat = anyref.chat(&picture);
    let first = chat.ask(dog(), &mut |_: &str| Continue(())).unwrap();
    assert_eq!(first.raw, ANSWER);
    let logits = first.masks.iter().filter_map(|mask| mask.low_res.as_ref());
    let logits: Vec<f32> = logits.flat_map(LowResMask::logits).copied().collect();
    let expected = floats(&fixture, "low");
    assert_eq!(logits.len(), expected.len());
    let pairs = logits.iter().zip(&expected);
    let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("logits differ by {difference:.1e}");
    assert!(difference <= 1e-4, "{difference}");
    let next = Prompt::new([]).with_question("And the cat?");
    let second = chat.ask(next, &mut |_: &str| Continue(())).unwrap();
    assert_eq!(second.raw, words(&anyref, &fixture, "next"));

    let region = Prompt::new([Reference::Box(REGION)]);
    let told = anyref.describe(&picture, &region).unwrap();
    assert_eq!((told.raw.as_str(), told.masks.len()), ("red dog.", 0));
    assert_eq!(told.raw, words(&anyref, &fixture, "region"));
}

#[test]
fn all_parts_are_found_in_the_folder() {
    let folder = folder();
    let published = Published::open(folder.path()).unwrap();
    let reports = compare::<TestBackend>(&published, None, &Default::default()).unwrap();
    assert_eq!(reports.len(), 6);
    for (part, report) in reports {
        assert!(report.is_complete(), "{part}: {report}");
    }
}

#[test]
fn it_is_written_and_read_as_a_model_folder() {
    let (folder, saved, assembled) = (folder(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let anyref = model(folder.path());
    anyref.save(saved.path(), DType::F32).unwrap();
    let published = Published::open(folder.path()).unwrap();
    let parts = Assembly::of_published(&published, &Companions::default()).unwrap();
    let written = parts.write::<TestBackend>(assembled.path()).unwrap();
    assert!(written.fresh.is_empty() && written.new_tokens == 0);
    for folder in [saved.path(), assembled.path()] {
        let json = fs::read_to_string(folder.join(CONFIG)).unwrap();
        for kind in ["\"internlm2_chat\"", "\"dynamic\""] {
            assert!(json.contains(kind), "{kind}: {json}");
        }
        let again = model(folder);
        let picture = again.picture(&shown()).unwrap();
        let answer = again.segment(&picture, &dog()).unwrap();
        assert_eq!(answer.raw, ANSWER);
        assert_masks(&answer, &opened());
    }
}

/// Both templates write the same, but only one of the tokenizers has a token to begin with.
#[test]
fn another_template_keeps_what_the_tokenizer_begins_with() {
    let folder = folder();
    for (mut anyref, other, begins) in [
        (model(folder.path()), Template::QwenChat, true),
        (sa2va(), Template::Internlm2Chat, false),
    ] {
        anyref.set_template(other).unwrap();
        assert_eq!(anyref.config.prompts.begins(), begins);
        assert_eq!(anyref.config.prompts.begins_sequences, Some(begins));
        let picture = anyref.picture(&shown()).unwrap();
        assert_eq!(anyref.segment(&picture, &dog()).unwrap().raw, ANSWER);
    }
}

/// Names of a Qwen 3 inside a Sa2VA are those of a Qwen 2, with norms and without biases.
#[test]
fn a_qwen_3_is_found_by_its_config() {
    let folder = copied("sa2va");
    change(&folder, CONFIG, "Qwen2ForCausalLM", "Qwen3ForCausalLM");
    let (from, to) = (
        "\"model_type\": \"qwen2\"",
        "\"model_type\": \"qwen3\", \"head_dim\": 4",
    );
    change(&folder, CONFIG, from, to);
    let (published, parts) = parts(folder.path());
    assert_eq!(parts.family, LanguageFamily::Qwen3);
    assert!(parts.llm.qk_norm && !parts.begins_sequences);
    let reports = compare::<TestBackend>(&published, None, &Default::default()).unwrap();
    let (part, report) = &reports[0];
    assert_eq!((*part, report.missing.len()), ("language model", 4));
    let norm = |name: &String| name.ends_with("q_norm.weight") || name.ends_with("k_norm.weight");
    assert!(report.missing.iter().all(norm), "{report}");
    let biases = report.unexpected.iter();
    assert!(biases.clone().all(|one| one.name.ends_with("_proj.bias")));
    assert_eq!(biases.count(), 6);
}

/// Changes a text in a file of the folder.
fn change(folder: &TempDir, file: &str, from: &str, to: &str) {
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn a_tokenizer_that_begins_nothing_is_followed() {
    let folder = folder();
    change(
        &folder,
        "tokenizer_config.json",
        "\"bos_token\": ",
        "\"add_bos_token\": false, \"bos_token\": ",
    );
    let anyref = model(folder.path());
    assert_eq!(anyref.config.prompts.begins_sequences, Some(false));
    assert!(!anyref.config.prompts.begins());
    let json = serde_json::to_string(&anyref.config).unwrap();
    assert!(json.contains("\"begins_sequences\":false"), "{json}");
}

#[test]
fn configs_and_weights_that_do_not_fit_are_refused_by_one_line() {
    for (from, to, words) in [
        (
            "InternLM2ForCausalLM\"",
            "Phi3ForCausalLM\"",
            ["Phi3ForCausalLM", "InternLM2ForCausalLM"],
        ),
        (
            "\"model_type\": \"internlm2\"",
            "\"model_type\": \"qwen2\"",
            ["InternLM2ForCausalLM", "qwen2"],
        ),
        (
            "\"num_key_value_heads\": 2",
            "\"num_key_value_heads\": 4",
            ["num_key_value_heads", "config.json"],
        ),
        (
            "\"num_key_value_heads\": 2",
            "\"num_key_value_heads\": 3",
            [FIRST, "wqkv"],
        ),
        (
            "\"type\": \"dynamic\"",
            "\"type\": \"yarn\"",
            ["rope_scaling", "yarn"],
        ),
    ] {
        let folder = folder();
        change(&folder, CONFIG, from, to);
        let published = Published::open(folder.path()).unwrap();
        let parts = Assembly::of_published(&published, &Companions::default()).unwrap();
        let out = tempfile::tempdir().unwrap();
        let line = parts
            .write::<TestBackend>(out.path())
            .unwrap_err()
            .to_string();
        assert_eq!(line.lines().count(), 1, "{line}");
        for word in words {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
    }
    // A matrix that lacks rows.
    let folder = folder();
    let first = folder.path().join(FIRST);
    let whole = Checkpoint::open(&first).unwrap();
    let cut =
        whole.tensors().map(
            |entry| match entry.name.ends_with("layers.1.attention.wqkv.weight") {
                true => OutputTensor::of_rows(&entry.name, entry, vec![0..20, 20..36]),
                false => OutputTensor::from_entry(&entry.name, entry, None),
            },
        );
    let other = folder.path().join("other.safetensors");
    write_checkpoint(&other, cut.collect(), &SaveOptions::default()).unwrap();
    fs::rename(&other, &first).unwrap();
    let (published, parts) = parts(folder.path());
    let line = parts.checkpoint(&published).unwrap_err().to_string();
    for word in [
        FIRST,
        "layers.1.attention.wqkv",
        "[36, 24]",
        "[40, 24]",
        "one model",
    ] {
        assert!(line.contains(word), "no {word:?} in {line}");
    }
    assert_eq!(line.lines().count(), 1, "{line}");
}
