//! SentencePiece models compared with transformers' tokenizers
//! (`fixtures/export_sentencepiece.py`).

use std::path::{Path, PathBuf};

use anyref_llm::{SentencePieceConfig, Tokenizer};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sentencepiece")
}

fn model() -> Vec<u8> {
    std::fs::read(fixtures().join("legacy/tokenizer.model")).unwrap()
}

/// Folder with the fixtures' LLaMA-like model and these other files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.model"), model()).unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// Compares every text of the fixture with the ids of transformers' slow or fast tokenizer.
fn compare(name: &str, reference: &str) {
    let golden = std::fs::read_to_string(fixtures().join("golden.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let texts = golden["texts"].as_array().unwrap();
    let expected = golden["folders"][name][reference].as_array().unwrap();
    assert!(texts.len() >= 40 && texts.len() == expected.len());
    let tokenizer = Tokenizer::from_folder(fixtures().join(name)).unwrap();
    // A saved tokenizer must be equal.
    let saved = Tokenizer::from_bytes(tokenizer.to_json().unwrap().as_bytes()).unwrap();
    let mut wrong = Vec::new();
    for (text, expected) in texts.iter().zip(expected) {
        let text = text.as_str().unwrap();
        let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
        for tokenizer in [&tokenizer, &saved] {
            let found = tokenizer.encode(text, false).unwrap();
            if found != expected {
                wrong.push(format!("{text:?}: {found:?}, not {expected:?}"));
            }
        }
        let with = tokenizer.encode(text, true).unwrap();
        assert_eq!(
            (with[0], &with[1..]),
            (1, &tokenizer.encode(text, false).unwrap()[..])
        );
    }
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

#[test]
fn ids_are_those_of_the_slow_llama_tokenizer() {
    compare("legacy", "slow");
}

#[test]
fn extra_spaces_are_removed_where_the_model_says_so() {
    compare("trimmed", "slow");
}

#[test]
fn unigram_ids_are_those_of_the_slow_llama_tokenizer() {
    compare("unigram", "slow");
}

#[test]
fn ids_without_legacy_are_those_of_the_fast_llama_tokenizer() {
    compare("current", "fast");
}

#[test]
fn texts_come_back() {
    let tokenizer = Tokenizer::from_folder(fixtures().join("legacy")).unwrap();
    for text in ["the tiger", "  ünïcödé 虎 🐯\n", "a\ttab, 12.5"] {
        let ids = tokenizer.encode(text, true).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
    assert_eq!(tokenizer.token_id("<obj>"), Some(420));
    assert_eq!((tokenizer.bos().unwrap(), tokenizer.eos().unwrap()), (1, 2));
}

#[test]
fn a_folder_gives_its_json_or_its_model() {
    let found = folder(&[]);
    let model = Tokenizer::from_folder(found.path()).unwrap();
    assert_eq!(model.vocab_size(), 420);
    let file = Tokenizer::from_file(found.path().join("tokenizer.model")).unwrap();
    assert_eq!(file.vocab_size(), 420);

    let mut other = model.clone();
    other.add_tokens(&["<obj>"]).unwrap();
    other.save(found.path().join("tokenizer.json")).unwrap();
    assert_eq!(
        Tokenizer::from_folder(found.path()).unwrap().vocab_size(),
        421
    );

    let empty = tempfile::tempdir().unwrap();
    let message = Tokenizer::from_folder(empty.path())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("no tokenizer.json and no tokenizer.model"),
        "{message}"
    );
    assert!(
        message.contains(&empty.path().display().to_string()),
        "{message}"
    );
}

/// Layout of folders by transformers before it listed added tokens in `tokenizer_config.json`.
#[test]
fn added_tokens_of_older_folders_are_read() {
    let special =
        r#"{"bos_token": "<s>", "additional_special_tokens": [{"content": "<im_start>"}]}"#;
    let found = folder(&[
        ("added_tokens.json", r#"{"<im_start>": 421, "<obj>": 420}"#),
        ("special_tokens_map.json", special),
        ("tokenizer_config.json", r#"{"model_max_length": 2048}"#),
    ]);
    let tokenizer = Tokenizer::from_folder(found.path()).unwrap();
    let ids = tokenizer.encode("dog<obj><im_start>", false).unwrap();
    assert_eq!(ids[ids.len() - 2..], [420, 421]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "dog<obj>");
}

/// As slow tokenizers of transformers before 4.34 do.
#[test]
fn added_tokens_of_older_folders_take_the_blanks_around_them() {
    let special = r#"{"additional_special_tokens": [{"content": "<im_end>", "lstrip": false}]}"#;
    let found = folder(&[
        (
            "added_tokens.json",
            r#"{"<p>": 420, "</p>": 421, "<im_end>": 422}"#,
        ),
        ("special_tokens_map.json", special),
    ]);
    let tokenizer = Tokenizer::from_folder(found.path()).unwrap();
    let ids = |text| tokenizer.encode(text, false).unwrap();
    let expected = [
        ids("The dog"),
        vec![420],
        ids("is"),
        vec![421, 420],
        ids("here"),
    ];
    assert_eq!(ids("The dog <p> is \n</p> <p>here"), expected.concat());
    // Flags that the map has are kept.
    let expected = [ids("The dog "), vec![422], ids(" is")];
    assert_eq!(ids("The dog <im_end> is"), expected.concat());
}

fn refused(files: &[(&str, &str)], words: &[&str]) {
    let message = Tokenizer::from_folder(folder(files).path())
        .unwrap_err()
        .to_string();
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let words = ["added_tokens.json", "<obj>", "421", "420", "one model"];
    refused(&[("added_tokens.json", r#"{"<obj>": 421}"#)], &words);
    let config = r#"{"added_tokens_decoder": {"7": {"content": "<obj>"}}}"#;
    refused(
        &[("tokenizer_config.json", config)],
        &["tokenizer_config.json", "<obj>"],
    );
    refused(
        &[("tokenizer_config.json", "{")],
        &["tokenizer_config.json"],
    );
    refused(
        &[("added_tokens.json", r#"{"": 420}"#)],
        &["added_tokens.json"],
    );
}

fn broken(bytes: &[u8]) -> String {
    let found = folder(&[]);
    let path = found.path().join("tokenizer.model");
    std::fs::write(&path, bytes).unwrap();
    let folder = Tokenizer::from_folder(found.path())
        .unwrap_err()
        .to_string();
    let message = Tokenizer::from_file(&path).unwrap_err().to_string();
    assert_eq!(folder, message);
    assert!(message.contains("tokenizer.model"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[test]
fn broken_files_end_in_one_line() {
    let model = model();
    for bytes in [
        &b""[..],
        &[0; 4096],
        b"{\"version\": \"1.0\"}",
        b"PK\x03\x04 a zip file",
        &[0xff; 64],
    ] {
        let message = broken(bytes);
        assert!(message.contains("not a SentencePiece model"), "{message}");
        assert!(message.contains("download it again"), "{message}");
    }
    // A cut between two pieces leaves a valid message, but then the bytes or parts of merges are
    // missing.
    for length in (1..model.len()).step_by(97) {
        let config = SentencePieceConfig::default();
        if let Err(error) = Tokenizer::from_sentencepiece(&model[..length], config) {
            assert_eq!(error.to_string().lines().count(), 1, "{length}: {error}");
        }
    }
    assert!(broken(&model[..model.len() / 2]).contains("middle of a field"));
    // No flipped byte may cause a panic.
    for at in (0..model.len()).step_by(3) {
        let mut bytes = model.clone();
        bytes[at] ^= 0x5a;
        if let Ok(tokenizer) = Tokenizer::from_sentencepiece(&bytes, SentencePieceConfig::default())
        {
            let _ = tokenizer.encode("the tiger 虎<0x0A>", false);
        }
    }
}

/// Encodes a field of a message: number and content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80);
    [&[number << 3 | 2, length][..], content].concat()
}

fn piece(text: &str, kind: u8) -> Vec<u8> {
    field(1, &[field(1, text.as_bytes()), vec![3 << 3, kind]].concat())
}

/// A token may be part of the model itself, with its id or with its score.
#[test]
fn pieces_are_the_same_by_another_name() {
    let bpe = field(2, &[3 << 3, 2]);
    for algorithm in [bpe, Vec::new()] {
        let pieces = [piece("<unk>", 2), piece("[SEG]", 4), piece("a", 1)];
        let bytes = [pieces.concat(), algorithm].concat();
        let config = SentencePieceConfig::default();
        let mut tokenizer = Tokenizer::from_sentencepiece(&bytes, config).unwrap();
        let ids = tokenizer.encode("a[SEG]a", false).unwrap();
        tokenizer.rename_token("[SEG]", "<obj>").unwrap();
        assert_eq!(tokenizer.token_id("<obj>"), Some(1));
        assert_eq!(
            (tokenizer.token_id("[SEG]"), tokenizer.vocab_size()),
            (None, 3)
        );
        assert_eq!(tokenizer.encode("a<obj>a", false).unwrap(), ids);
        assert_eq!(ids.iter().filter(|&&id| id == 1).count(), 1);
    }
}

/// Renaming rebuilds the tokenizer, and must not change anything else.
#[test]
fn ids_of_texts_stay_when_a_token_is_renamed() {
    let golden = std::fs::read_to_string(fixtures().join("golden.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    for name in ["legacy", "trimmed", "current"] {
        let tokenizer = Tokenizer::from_folder(fixtures().join(name)).unwrap();
        let mut renamed = tokenizer.clone();
        renamed.rename_token("<obj>", "[SEG]").unwrap();
        for text in golden["texts"].as_array().unwrap() {
            let text = text.as_str().unwrap();
            let other = text.replace("<obj>", "[SEG]");
            let ids = tokenizer.encode(text, false).unwrap();
            assert_eq!(
                renamed.encode(&other, false).unwrap(),
                ids,
                "{name}: {text:?}"
            );
            let shown = tokenizer.decode(&ids).unwrap();
            let shown = shown.replace("<obj>", "[SEG]");
            assert_eq!(renamed.decode(&ids).unwrap(), shown, "{name}: {text:?}");
        }
    }
}

#[test]
fn models_that_would_give_other_ids_are_refused() {
    let refuse = |parts: &[Vec<u8>], word: &str| {
        let bytes = parts.concat();
        let error = Tokenizer::from_sentencepiece(&bytes, SentencePieceConfig::default());
        let message = error.unwrap_err().to_string();
        assert!(message.contains(word), "no {word:?} in {message}");
    };
    let unknown = piece("<unk>", 2);
    let bpe = field(2, &[3 << 3, 2]);
    let mapped = field(3, &[field(1, b"nmt_nfkc"), field(2, &[1, 2, 3])].concat());
    refuse(&[unknown.clone(), mapped], "nmt_nfkc");
    refuse(&[unknown.clone(), field(2, &[3 << 3, 3])], "whole words");
    refuse(
        &[unknown.clone(), piece("a", 1), piece("a", 1)],
        "both \"a\"",
    );
    refuse(&[unknown.clone(), unknown.clone()], "both");
    refuse(&[unknown.clone(), piece("<x>", 2)], "two unknown pieces");
    refuse(&[piece("a", 1)], "no unknown piece");
    refuse(&[unknown.clone(), piece("a", 5)], "unused piece");
    refuse(&[unknown.clone(), piece("▁▁", 4)], "space of its own");
    let fallback = field(2, &[0x98, 0x02, 1]);
    refuse(
        &[unknown.clone(), piece("<0x00>", 6), fallback],
        "1 byte pieces",
    );
    refuse(&[unknown, piece("", 1), bpe], "a piece is empty");
}
