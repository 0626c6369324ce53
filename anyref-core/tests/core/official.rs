//! Detection of checkpoints by their names, and comparison with configs.

use std::path::Path;

use anyref_core::AnyRefConfig;
use anyref_core::official::{Kind, Published, compare};
use anyref_weights::{OutputTensor, SaveOptions, write_checkpoint};
use burn::tensor::{DType, TensorData};

use crate::common::TestBackend;
use crate::parts::{assembly, language, published};

fn kind(name: &str) -> Option<Kind> {
    Published::open(&published(name)).unwrap().kind
}

#[test]
fn layouts_are_told_apart() {
    for (name, expected) in [
        ("clip", Kind::Clip),
        ("sam", Kind::SamHuggingFace),
        ("sam.pth", Kind::SamAuthors),
        ("sam2", Kind::Sam2HuggingFace),
        ("sam2_authors", Kind::Sam2Authors),
        ("imagebind.pth", Kind::ImageBind),
        ("llava", Kind::LlavaHuggingFace),
        ("llava_authors", Kind::LlavaAuthors),
        ("adapter", Kind::Adapter),
    ] {
        assert_eq!(kind(name), Some(expected), "{name}");
    }
    assert_eq!(kind("expected.safetensors"), None);
}

#[test]
fn parts_match_themselves_and_not_a_preset() {
    for (name, modules) in [
        ("clip", 1),
        ("sam", 2),
        ("sam.pth", 2),
        ("imagebind.pth", 1),
        ("llava", 3),
        ("llava_authors", 3),
    ] {
        let part = Published::open(&published(name)).unwrap();
        let reports = compare::<TestBackend>(&part, None, &Default::default()).unwrap();
        assert_eq!(reports.len(), modules, "{name}");
        for (module, report) in reports {
            assert!(report.is_complete(), "{name} {module}: {report}");
        }
        let preset = AnyRefConfig::tiny();
        let reports = compare::<TestBackend>(&part, Some(&preset), &Default::default()).unwrap();
        for (module, report) in reports {
            assert!(!report.wrong_shape.is_empty(), "{name} {module}: {report}");
        }
    }
}

#[test]
fn an_assembled_model_matches_its_config_and_an_adapter_the_model_it_is_for() {
    let (llm, out) = (language("llava"), tempfile::tempdir().unwrap());
    let assembled = assembly(llm.path())
        .write::<TestBackend>(out.path())
        .unwrap();
    let model = Published::open(out.path()).unwrap();
    assert_eq!(model.kind, Some(Kind::AnyRef));
    let reports = compare::<TestBackend>(&model, None, &Default::default()).unwrap();
    assert!(reports[0].1.is_complete(), "{}", reports[0].1);

    let adapter = Published::open(&published("adapter")).unwrap();
    let against =
        |config: &AnyRefConfig| compare::<TestBackend>(&adapter, Some(config), &Default::default());
    // The adapter contains embeddings and head of a larger vocabulary.
    let mut config = assembled.config;
    let report = &against(&config).unwrap()[0].1;
    let wrong: Vec<_> = report.wrong_shape.iter().map(|w| &w.name[..]).collect();
    assert_eq!(wrong, ["lm_head.weight", "model.embed_tokens.weight"]);
    assert!(
        report.missing.is_empty() && report.unexpected.is_empty(),
        "{report}"
    );
    config.llm.vocab_size = 600;
    let report = &against(&config).unwrap()[0].1;
    assert!(report.is_complete(), "{report}");
    assert_eq!(report.loaded.len(), 10);
    let report = &against(&AnyRefConfig::tiny()).unwrap()[0].1;
    assert_eq!(report.wrong_shape.len(), 10);
    assert!(compare::<TestBackend>(&adapter, None, &Default::default()).is_err());
}

#[test]
fn weights_packed_by_awq_or_gptq_are_refused_with_the_remedy() {
    let refused = |path: &Path, words: &str| {
        let error = Published::open(path).unwrap_err().to_string();
        for word in [words, "not read", "--quantize q4_k", "GGUF"] {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    };
    let tensor = |name: &str, dtype| {
        OutputTensor::new(name, dtype, [2, 4], move || {
            Ok(TensorData::zeros::<f32, _>([2, 4]).convert_dtype(dtype))
        })
    };
    let layer = "model.layers.0.self_attn.q_proj";
    let packed = || {
        let ints = ["qweight", "qzeros"];
        let ints = ints.map(|part| tensor(&format!("{layer}.{part}"), DType::I32));
        let scales = tensor(&format!("{layer}.scales"), DType::F16);
        ints.into_iter().chain([scales]).collect::<Vec<_>>()
    };
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("model.safetensors");
    write_checkpoint(&weights, packed(), &SaveOptions::default()).unwrap();
    refused(folder.path(), "q_proj.qweight");
    for method in ["awq", "gptq"] {
        let config = format!(
            r#"{{"model_type": "llama", "quantization_config": {{"quant_method": "{method}", "bits": 4}}}}"#
        );
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        refused(folder.path(), method);
    }
    // A config without `quantization_config` is accepted.
    std::fs::write(
        folder.path().join("config.json"),
        r#"{"model_type": "llama"}"#,
    )
    .unwrap();
    let plain = vec![tensor("model.embed_tokens.weight", DType::F32)];
    write_checkpoint(&weights, plain, &SaveOptions::default()).unwrap();
    Published::open(folder.path()).unwrap();
}

#[test]
fn a_gguf_file_is_a_language_model() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../anyref-llm/tests/fixtures/gguf"
    );
    for name in ["llama", "qwen2"] {
        let path = Path::new(folder).join(format!("{name}.gguf"));
        let published = Published::open(&path).unwrap();
        assert_eq!(published.kind, Some(Kind::Llama));
        let reports = compare::<TestBackend>(&published, None, &Default::default()).unwrap();
        assert!(!reports.is_empty());
        for (part, report) in reports {
            assert!(report.is_complete(), "{name} {part}: {report}");
        }
    }
    // A config cannot express factors of rotary frequencies.
    let error = Published::open(&Path::new(folder).join("llama3.gguf")).unwrap_err();
    assert!(error.to_string().contains("llama3.gguf"), "{error}");
}
