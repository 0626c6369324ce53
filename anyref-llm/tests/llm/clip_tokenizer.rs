//! CLIP's tokenizer compared with ImageBind's formulas (`fixtures/export_clip.py`).

use std::fs;
use std::path::{Path, PathBuf};

use anyref_llm::clip_tokenizer::ClipTokenizer;
use anyref_llm::clip_tokenizer::{END_OF_TEXT, START_OF_TEXT};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Length used in the fixture.
const LENGTH: usize = 77;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn json_file(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixtures().join(name)).unwrap()).unwrap()
}

/// Writes a modified copy of the two files.
fn folder(vocabulary: &Value, merges: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("vocab.json"), vocabulary.to_string()).unwrap();
    fs::write(folder.path().join("merges.txt"), merges).unwrap();
    folder
}

fn merges() -> String {
    fs::read_to_string(fixtures().join("clip/merges.txt")).unwrap()
}

fn refused(folder: &Path) -> String {
    let error = ClipTokenizer::from_folder(folder).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn ids_are_those_of_the_reference() {
    let golden = json_file("clip_ids.json");
    let texts = golden["texts"].as_array().unwrap();
    assert!(texts.len() > 30);
    for folder in ["clip", "clip_json"] {
        let tokenizer = ClipTokenizer::from_folder(fixtures().join(folder)).unwrap();
        for row in texts {
            let text = row[0].as_str().unwrap();
            let expected: Vec<u32> = serde_json::from_value(row[1].clone()).unwrap();
            let found = tokenizer.encode_padded(text, LENGTH).unwrap();
            assert_eq!(found, expected, "{folder} {text:?}");
        }
    }
}

#[test]
fn long_texts_keep_their_end() {
    let tokenizer = ClipTokenizer::from_folder(fixtures().join("clip")).unwrap();
    let end = tokenizer.vocab_size() as u32 - 1;
    let long = tokenizer.encode(&"dog ".repeat(90), LENGTH).unwrap();
    assert_eq!((long.len(), long[LENGTH - 1]), (LENGTH, end));
    let short = tokenizer.encode("dog", LENGTH).unwrap();
    assert_eq!(short, [end - 1, short[1], end]);
    assert_eq!(tokenizer.encode("dog", 1).unwrap(), [end]);
}

#[test]
fn other_vocabularies_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    assert!(!ClipTokenizer::is_in_folder(empty.path()));
    assert!(refused(empty.path()).contains("no tokenizer.json"));

    let whole = json_file("clip/vocab.json");
    let without = |token: &str| {
        let mut fewer = whole.clone();
        fewer.as_object_mut().unwrap().remove(token).unwrap();
        refused(folder(&fewer, &merges()).path())
    };
    for token in [START_OF_TEXT, END_OF_TEXT, "é</w>", "q"] {
        let error = without(token);
        assert!(error.contains(&format!("has no `{token}`")), "{error}");
    }

    let mut more = whole.clone();
    more["another"] = json!(whole[END_OF_TEXT].as_u64().unwrap() + 1);
    let error = refused(folder(&more, &merges()).path());
    assert!(error.contains("must come last"), "{error}");

    let error = refused(folder(&whole, "#version: 0.2\ni n\nword\n").path());
    assert!(error.contains("line 3 is not a pair"), "{error}");
    let error = refused(folder(&whole, "i n\nzz zz\n").path());
    assert!(error.contains("zz"), "{error}");

    let llama = tempfile::tempdir().unwrap();
    let other = json!({"model": {"type": "BPE", "vocab": {}, "merges": []}});
    fs::write(llama.path().join("tokenizer.json"), other.to_string()).unwrap();
    assert!(refused(llama.path()).contains("words end in `</w>`"));
    fs::write(llama.path().join("tokenizer.json"), "{").unwrap();
    refused(llama.path());
}

/// Uses `CLIP_FOLDER`, a folder with the published vocabulary, and `CLIP_IDS`, a file of texts and
/// their ids by the published tokenizer, in the form of `clip_ids.json`.
#[test]
#[ignore = "needs the published vocabulary"]
fn ids_are_those_of_the_published_vocabulary() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let tokenizer = ClipTokenizer::from_folder(variable("CLIP_FOLDER")).unwrap();
    let golden = fs::read(variable("CLIP_IDS")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    for row in golden["texts"].as_array().unwrap() {
        let expected: Vec<u32> = serde_json::from_value(row[1].clone()).unwrap();
        let found = tokenizer.encode_padded(row[0].as_str().unwrap(), LENGTH);
        assert_eq!(found.unwrap(), expected, "{}", row[0]);
    }
}
