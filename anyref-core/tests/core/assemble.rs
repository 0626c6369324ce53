//! Model folders assembled from published parts: equal numbers, and clear errors for parts that do
//! not fit.

use std::fs;
use std::path::Path;

use anyref_core::{AnyRef, Assembly, Prompt, Reference};
use anyref_llm::{LlamaInput, Tokenizer};
use anyref_ops::testing::{assert_close, max_abs_difference, max_abs_error};
use anyref_vision::projector::ProjectorKind;
use anyref_weights::testing::Fixture;
use anyref_weights::{Checkpoint, OutputTensor, SaveOptions, write_checkpoint};
use burn::tensor::{DType, Int, Tensor};

use crate::common::{TestBackend, authors_tokenizer, image, tone};
use crate::parts::{assembly, copied, expected, language, load, published};

const TOLERANCE: f64 = 1e-4;

fn write(assembly: &Assembly, out: &Path) -> anyref_core::Result<anyref_core::Assembled> {
    assembly.write::<TestBackend>(out)
}

fn refused(assembly: &Assembly, words: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("out");
    let message = write(assembly, &out).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(!out.join("config.json").exists());
}

/// Logits of LLaVA: words, a picture, words.
fn answer(model: &AnyRef<TestBackend>, expected: &Fixture) -> Tensor<TestBackend, 3> {
    let device = Default::default();
    let llm = &model.model.llm;
    let words = |name: &str| llm.embed(expected.int_tensor(name, &device));
    let pixels = expected.tensor("llava.pixels", &device);
    let picture = model.model.picture_features(pixels).tokens;
    let sequence = Tensor::cat(
        vec![words("llava.before"), picture, words("llava.after")],
        1,
    );
    llm.logits(llm.forward(LlamaInput::new(sequence), None).hidden)
}

#[test]
fn llava_in_both_layouts_is_the_reference() {
    let expected = expected();
    let wanted = expected.tensor::<TestBackend, 3>("llava.logits", &Default::default());
    for name in ["llava", "llava_authors"] {
        let (llm, out) = (language(name), tempfile::tempdir().unwrap());
        let assembled = write(&assembly(llm.path()), out.path()).unwrap();
        assert_eq!(assembled.config.mm_projector, ProjectorKind::Mlp2xGelu);
        assert_eq!(assembled.config.vision_select_layer, -2);
        let model = load(out.path());
        // The vocabulary was extended by the tokenizer's tokens.
        let found = answer(&model, &expected).narrow(2, 0, 64);
        println!("{name} differs by {:.1e}", max_abs_error(&found, &wanted));
        assert_close(&found, &wanted, TOLERANCE);
    }
}

#[test]
fn a_sentencepiece_tokenizer_does_as_well() {
    let (llm, out) = (language("llava"), tempfile::tempdir().unwrap());
    fs::remove_file(llm.path().join("tokenizer.json")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let legacy = root.join("../anyref-llm/tests/fixtures/sentencepiece/legacy");
    for entry in fs::read_dir(legacy).unwrap() {
        let file = entry.unwrap();
        fs::copy(file.path(), llm.path().join(file.file_name())).unwrap();
    }
    write(&assembly(llm.path()), out.path()).unwrap();
    let published = Tokenizer::from_folder(llm.path()).unwrap();
    let model = load(out.path());
    assert_eq!(model.config.llm.vocab_size, model.tokenizer.vocab_size());
    assert!(model.tokenizer.vocab_size() > published.vocab_size());
    let text = "the red circle, left of it";
    let ids = model.tokenizer.encode(text, false).unwrap();
    assert_eq!(ids, published.encode(text, false).unwrap());
    assert!(ids.len() > 3, "{ids:?}");
}

#[test]
fn the_authors_mask_token_keeps_its_id_and_gets_our_name() {
    let (llm, out) = (language("llava"), tempfile::tempdir().unwrap());
    let authors = authors_tokenizer();
    authors.save(llm.path().join("tokenizer.json")).unwrap();
    write(&assembly(llm.path()), out.path()).unwrap();
    let written = Tokenizer::from_folder(out.path()).unwrap();
    assert_eq!(written.token_id("<obj>"), authors.token_id("[SEG]"));
    assert_eq!(written.token_id("[SEG]"), None);
    assert_eq!(written.vocab_size(), authors.vocab_size());
    let object = load(out.path()).special_tokens().object.unwrap();
    assert_eq!(Some(object), authors.token_id("[SEG]"));
}

#[test]
fn clip_and_sam_in_all_layouts_are_the_reference() {
    let (expected, device) = (expected(), Default::default());
    let llm = language("llava");
    for sam in ["sam", "sam.pth"] {
        let out = tempfile::tempdir().unwrap();
        let parts = Assembly {
            clip: Some(published("clip")),
            sam: Some(published(sam)),
            ..assembly(llm.path())
        };
        write(&parts, out.path()).unwrap();
        let model = load(out.path()).model;
        let pixels = expected.tensor("clip.pixels", &device);
        let features = model.vision_tower.features(pixels, -2);
        let wanted = expected.tensor("clip.features", &device);
        assert_close(&features, &wanted, TOLERANCE);

        let embedding = model
            .mask_branch()
            .image_encoder
            .forward(expected.tensor("sam.pixels", &device));
        let wanted = expected.tensor("sam.embedding", &device);
        println!(
            "{sam} differs by {:.1e}",
            max_abs_error(&embedding, &wanted)
        );
        assert_close(&embedding, &wanted, TOLERANCE);
        let prompts = expected.tensor("sam.prompts", &device);
        let decoded = model.decode_masks(embedding.repeat_dim(0, 2), prompts);
        let masks = expected.tensor("sam.masks", &device);
        assert_close(&decoded.low_res_masks, &masks, 10.0 * TOLERANCE);
        let scores = expected.tensor("sam.scores", &device);
        assert_close(&decoded.iou_predictions, &scores, TOLERANCE);
    }
}

#[test]
fn what_the_training_script_leaves_takes_the_parts_places() {
    let (expected, device) = (expected(), Default::default());
    let (llm, out) = (language("llava_authors"), tempfile::tempdir().unwrap());
    let parts = Assembly {
        adapter: Some(published("adapter")),
        ..assembly(llm.path())
    };
    let assembled = write(&parts, out.path()).unwrap();
    assert_eq!(
        (assembled.merged, assembled.config.llm.vocab_size),
        (4, 600)
    );
    assert!(assembled.fresh.is_empty(), "{:?}", assembled.fresh);
    assert_eq!(assembled.new_tokens, 0);
    let model = load(out.path()).model;
    let ids: Tensor<TestBackend, 2, Int> = expected.int_tensor("llava.before", &device);
    let input = LlamaInput::new(model.llm.embed(ids));
    let found = model.llm.logits(model.llm.forward(input, None).hidden);
    let wanted = expected.tensor("adapter.logits", &device);
    println!("adapter differs by {:.1e}", max_abs_error(&found, &wanted));
    assert_close(&found, &wanted, TOLERANCE);
    let kept = |name: &str| expected.data(&format!("adapter.{name}"));
    let tokens = model
        .mask_branch()
        .mask_decoder
        .mask_tokens
        .weight
        .val()
        .into_data();
    assert_eq!(
        max_abs_difference(&tokens, &kept("mask_decoder.mask_tokens.weight")),
        0.0
    );
    let head = model.mask_branch().text_hidden_fcs;
    let bias = head.fc2.bias.as_ref().unwrap().val().into_data();
    assert_eq!(
        max_abs_difference(&bias, &kept("text_hidden_fcs.0.2.bias")),
        0.0
    );
    let ears = model
        .audio_projector
        .unwrap()
        .weight
        .val()
        .transpose()
        .into_data();
    assert_eq!(
        max_abs_difference(&ears, &kept("audio_projector.weight")),
        0.0
    );

    // The trained audio projection has no place in a model that does not hear.
    let deaf = Assembly {
        imagebind: None,
        ..parts
    };
    refused(
        &deaf,
        &["adapter", "audio_projector", "leave the adapter out"],
    );
}

#[test]
fn an_assembled_model_answers_and_its_new_parts_follow_the_seed() {
    let llm = language("llava");
    let made = |seed, dtype| {
        let out = tempfile::tempdir().unwrap();
        let parts = Assembly {
            seed,
            dtype,
            ..assembly(llm.path())
        };
        (write(&parts, out.path()).unwrap(), out)
    };
    let (assembled, out) = made(1, None);
    let shards = fs::read_dir(out.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".safetensors")
    });
    assert!(shards.count() > 2);
    assert!(assembled.weights.ends_with("model.safetensors.index.json"));
    assert_eq!(assembled.config.llm.vocab_size, 64 + assembled.new_tokens);
    let fresh = [
        "audio_projector.bias",
        "audio_projector.weight",
        "text_hidden_fcs.fc1.bias",
    ];
    assert_eq!(assembled.fresh[..3], fresh);
    assert_eq!(assembled.fresh.len(), 6);

    let mut model = load(out.path());
    model.generation.max_new_tokens = 4;
    let picture = model.picture(&image(50, 40)).unwrap();
    for reference in [
        Reference::Text("the red circle".into()),
        Reference::Audio(tone(440.0)),
    ] {
        model.segment(&picture, &Prompt::new([reference])).unwrap();
    }

    let head = |folder: &Path| {
        load(folder)
            .model
            .mask_branch()
            .text_hidden_fcs
            .fc1
            .weight
            .val()
            .into_data()
    };
    let table = |folder: &Path| {
        load(folder)
            .model
            .llm
            .model
            .embed_tokens
            .weight
            .val()
            .into_data()
    };
    let (_, same) = made(1, None);
    let (_, other) = made(2, None);
    assert_eq!(head(out.path()), head(same.path()));
    assert_eq!(table(out.path()), table(same.path()));
    assert_ne!(head(out.path()), head(other.path()));
    let bound = 1.0 / 16f64.sqrt();
    assert!(head(out.path()).iter::<f64>().all(|x| x.abs() <= bound));
    let rows: Vec<f64> = table(out.path()).iter::<f64>().skip(64 * 16).collect();
    let spread = (rows.iter().map(|x| x * x).sum::<f64>() / rows.len() as f64).sqrt();
    assert!((spread - 0.02).abs() < 0.002, "{spread}");

    let (half, folder) = made(1, Some(DType::BF16));
    assert!(half.bytes < assembled.bytes * 6 / 10);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert!(
        checkpoint
            .tensors()
            .all(|tensor| tensor.dtype == DType::BF16)
    );
    let error = max_abs_difference(&table(folder.path()), &table(out.path()));
    assert!(error > 0.0 && error < 0.02, "{error}");
}

#[test]
fn values_that_half_precision_cannot_hold_are_not_lost() {
    let (llm, out) = (language("llava"), tempfile::tempdir().unwrap());
    let sam = tempfile::tempdir().unwrap();
    let file = sam.path().join("sam.safetensors");
    let checkpoint = Checkpoint::open(published("sam.pth")).unwrap();
    let tensors = checkpoint.tensors().map(|entry| {
        let (name, loud) = (entry.name.clone(), entry.name.ends_with("neck.3.weight"));
        let values = entry.clone();
        OutputTensor::new(name, DType::F32, entry.shape.clone(), move || {
            let mut data = values.read()?;
            if loud {
                data.as_mut_slice::<f32>().unwrap()[0] = 1e6;
            }
            Ok(data)
        })
    });
    write_checkpoint(&file, tensors.collect(), &SaveOptions::default()).unwrap();
    let parts = Assembly {
        sam: Some(file),
        dtype: Some(DType::F16),
        ..assembly(llm.path())
    };
    let message = write(&parts, out.path()).unwrap_err().to_string();
    assert!(
        message.contains("neck.layer_norm2.weight") && message.contains("bf16"),
        "{message}"
    );
    let parts = Assembly {
        dtype: Some(DType::BF16),
        ..parts
    };
    let folder = tempfile::tempdir().unwrap();
    write(&parts, folder.path()).unwrap();
}

#[test]
fn parts_that_do_not_fit_are_refused_by_name() {
    let llm = language("llava");
    let good = || assembly(llm.path());
    let swapped = Assembly {
        sam: Some(published("clip")),
        ..good()
    };
    refused(&swapped, &["clip", "holds CLIP", "not SAM"]);
    let missing = Assembly {
        imagebind: Some("nowhere.pth".into()),
        ..good()
    };
    refused(&missing, &["nowhere.pth", "check the path"]);
    let adapter = Assembly {
        llm: published("adapter"),
        ..good()
    };
    refused(&adapter, &["holds a PEFT adapter", "not LLaMA"]);

    // The authors' LLaVA-Lightning names its tower but does not contain it.
    let towerless = language("llava_authors");
    let checkpoint = Checkpoint::open(towerless.path()).unwrap();
    let kept = checkpoint
        .tensors()
        .filter(|entry| !entry.name.contains("vision_tower"))
        .map(|entry| OutputTensor::from_entry(entry.name.clone(), entry, None))
        .collect();
    let file = towerless.path().join("model.safetensors");
    write_checkpoint(file, kept, &SaveOptions::default()).unwrap();
    let parts = assembly(towerless.path());
    refused(
        &parts,
        &[
            "no picture encoder",
            "openai/clip-vit-large-patch14",
            "CLIP",
        ],
    );
    let out = tempfile::tempdir().unwrap();
    let parts = Assembly {
        clip: Some(published("clip")),
        ..parts
    };
    write(&parts, out.path()).unwrap();
    // A second time, the old weights would be read instead of the new.
    let message = write(&parts, out.path()).unwrap_err().to_string();
    assert!(message.contains("already holds"), "{message}");
}

#[test]
fn configs_must_be_of_the_weights() {
    let changed = |name: &str, from: &str, to: &str| {
        let folder = language(name);
        let file = folder.path().join("config.json");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(file, text.replace(from, to)).unwrap();
        folder
    };
    for (from, to, words) in [
        (
            "\"model_type\": \"llama\"",
            "\"model_type\": \"gpt2\"",
            ["gpt2", "no LLaMA"],
        ),
        (
            "\"model_type\": \"llava\"",
            "\"model_type\": \"qwen2_vl\"",
            ["qwen2_vl", "no LLaVA"],
        ),
        (
            "\"clip_vision_model\"",
            "\"siglip_vision_model\"",
            ["siglip_vision_model", "no CLIP"],
        ),
        (
            "\"image_size\": 32",
            "\"image_size\": 48",
            ["image_size", "48"],
        ),
        (
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 3",
            ["layers.2", "missing"],
        ),
        (
            "\"intermediate_size\": 24",
            "\"intermediate_size\": 28",
            ["mlp", "28"],
        ),
        (
            "\"hidden_act\": \"silu\"",
            "\"hidden_act\": \"relu\"",
            ["hidden_act", "relu"],
        ),
        (
            "\"vision_feature_layer\": -2",
            "\"vision_feature_layer\": -9",
            ["-9", "layer"],
        ),
        (
            "\"default\"\n}",
            "\"full\"\n}",
            ["vision_feature_select_strategy", "full"],
        ),
        (
            "\"projector_hidden_act\": \"gelu\"",
            "\"projector_hidden_act\": \"relu\"",
            ["projector_hidden_act", "relu"],
        ),
    ] {
        let folder = changed("llava", from, to);
        refused(&assembly(folder.path()), &words);
    }
    let llm = language("llava");
    fs::remove_file(llm.path().join("tokenizer.json")).unwrap();
    refused(&assembly(llm.path()), &["tokenizer.json"]);
    let llm = language("llava");
    fs::remove_file(llm.path().join("config.json")).unwrap();
    refused(&assembly(llm.path()), &["config.json", "whole folder"]);
    let sam = copied("sam");
    let file = sam.path().join("config.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("\"model_type\": \"sam\"", "\"model_type\": \"sam2\""),
    )
    .unwrap();
    let llm = language("llava");
    let parts = Assembly {
        sam: Some(sam.path().into()),
        ..assembly(llm.path())
    };
    refused(&parts, &["sam2", "config.json"]);
}
