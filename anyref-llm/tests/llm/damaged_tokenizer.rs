//! Damaged `tokenizer.json` files give an error that names the file, never a panic.

use std::panic::catch_unwind;

use anyref_llm::{Result, Tokenizer};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// Small `tokenizer.json` with every kind of part that is read.
fn small() -> Value {
    let pieces = [
        "<unk>", "<s>", "</s>", "▁", "d", "o", "g", "▁d", "▁do", "▁dog",
    ];
    let vocab = pieces.iter().enumerate();
    let vocab: serde_json::Map<_, _> = vocab
        .map(|(id, piece)| ((*piece).into(), id.into()))
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [{"id": 1, "content": "<s>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first",
            "split": false},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "vocab": vocab, "unk_token": "<unk>", "fuse_unk": true,
            "byte_fallback": true, "merges": [["▁", "d"], ["▁d", "o"], ["▁do", "g"]]},
    })
}

/// Reads a tokenizer and asserts that nothing panics. Panics of the library that the crate catches
/// are recognised by their message.
fn read(bytes: &[u8]) -> Result<Tokenizer> {
    let read = catch_unwind(|| Tokenizer::from_bytes(bytes));
    let read = read.unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(bytes)));
    if let Err(error) = &read {
        let said = error.to_string();
        assert!(said.contains("tokenizer.json"), "{said}");
        assert!(
            !said.contains("library fails"),
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
    read
}

fn refused(file: &Value, words: &str) {
    let said = read(file.to_string().as_bytes()).unwrap_err().to_string();
    assert!(said.contains(words), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn mutated_bytes_never_panic() {
    let whole = small().to_string().into_bytes();
    read(&whole).unwrap();
    let mut rng = StdRng::seed_from_u64(4);
    let mut refused = 0;
    for _ in 0..4000 {
        let mut bytes = whole.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..5) {
                0 => bytes[at] = rng.random(),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, *b"{}[]\",:\\0-e".choose(&mut rng).unwrap()),
                3 => bytes[at] ^= 1u8 << rng.random_range(0..8u32),
                _ => {
                    let end = rng.random_range(at..bytes.len().min(at + 40));
                    bytes.drain(at..end);
                }
            }
        }
        refused += usize::from(read(&bytes).is_err());
    }
    assert!(
        refused > 2000,
        "{refused} of 4000 mutated files were refused"
    );
}

/// Collects every value inside another, including the value itself.
fn places(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            places(inner, format!("{path}/{name}"), found);
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, inner)| places(inner, format!("{path}/{index}"), found)),
        _ => {}
    }
    found.push(path);
}

#[test]
fn other_values_in_any_place_never_panic() {
    let whole = small();
    let mut found = Vec::new();
    places(&whole, String::new(), &mut found);
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("▁dog and more"),
        json!([]),
        json!([["a"]]),
        json!({}),
        json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        json!({"type": "Sequence", "decoders": [{}]}),
    ];
    for path in found.iter().filter(|path| !path.is_empty()) {
        for value in &values {
            let mut file = whole.clone();
            *file.pointer_mut(path).unwrap() = value.clone();
            drop(read(file.to_string().as_bytes()));
        }
    }
}

#[test]
fn damage_that_the_library_panics_on_is_told() {
    // Invalid JSON inside the decoder: the escape stands for half a surrogate pair.
    let text = small().to_string();
    let cut = text.replace("\"ByteFallback\"", "\"\\ud800\"");
    assert_ne!(text, cut);
    read(cut.as_bytes()).unwrap_err();

    let mut file = small();
    file["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "not base64"});
    refused(&file, "precompiled_charsmap");
    let inner = file["normalizer"].clone();
    file["normalizer"] = json!({"type": "Sequence", "normalizers": [inner]});
    refused(&file, "precompiled_charsmap");

    let mut file = small();
    file["model"]["continuing_subword_prefix"] = json!("##");
    refused(&file, "continuing_subword_prefix");
    file["model"]["merges"] = json!(["▁ d"]);
    refused(&file, "continuing_subword_prefix");
}

#[test]
fn messages_that_quote_a_token_stay_on_one_line() {
    let mut file = small();
    file["model"]["merges"][0] = json!(["\u{2581}", "d\ng"]);
    refused(&file, "out of vocabulary");
}
