//! Tokens and back.

use anyref_llm::conversation::llava_v1;
use anyref_llm::{SPECIAL_TOKENS, Tokenizer, train_tokenizer};

fn texts() -> Vec<String> {
    let things = ["tiger", "red car", "guitar", "dog", "old clock", "sea lion"];
    let says = |thing: &&str| {
        format!("USER: Can you segment the {thing} in this image? ASSISTANT: the {thing}.")
    };
    things
        .iter()
        .map(says)
        .chain([llava_v1().prompt()])
        .collect()
}

fn trained() -> Tokenizer {
    let mut tokenizer = train_tokenizer(texts(), 450).unwrap();
    tokenizer.add_anyref_tokens().unwrap();
    tokenizer
}

#[test]
fn the_layout_is_llamas() {
    let tokenizer = train_tokenizer(texts(), 450).unwrap();
    assert!(tokenizer.vocab_size() > 380 && tokenizer.vocab_size() <= 450);
    let names = ["<unk>", "<s>", "</s>", "<0x00>", "<0x01>"];
    assert_eq!(
        names.map(|name| tokenizer.token_id(name).unwrap()),
        [0, 1, 2, 3, 4]
    );
    assert_eq!(tokenizer.token_id("<0xFF>"), Some(258));
    assert_eq!((tokenizer.bos().unwrap(), tokenizer.eos().unwrap()), (1, 2));
    assert_eq!(
        tokenizer
            .token(tokenizer.encode(" the", false).unwrap()[0])
            .unwrap(),
        "▁the"
    );
}

#[test]
fn training_is_deterministic() {
    let first = train_tokenizer(texts(), 450).unwrap().to_json().unwrap();
    for _ in 0..3 {
        assert_eq!(
            train_tokenizer(texts(), 450).unwrap().to_json().unwrap(),
            first
        );
    }
}

#[test]
fn texts_come_back() {
    let tokenizer = trained();
    for text in [
        "the tiger on the left",
        "the tiger<obj>.",
        "<obj>",
        "<obj><obj> and<obj>, (two) of 12.5!",
        "a  double   space, a\nline\tand a tab",
        "ünïcödé, 虎, 🐯 and \u{0}",
        "<0x0A> written out",
        "ends with a space ",
        "",
    ] {
        let ids = tokenizer.encode(text, false).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        assert!(!ids.contains(&0), "unknown token in {text:?}");
        let with = tokenizer.encode(text, true).unwrap();
        assert_eq!((with[0], &with[1..]), (1, &ids[..]));
        assert_eq!(tokenizer.decode(&with).unwrap(), text);
    }
}

#[test]
fn added_tokens_are_whole_ordered_and_kept() {
    let base = train_tokenizer(texts(), 450).unwrap();
    let first = base.vocab_size() as u32;
    let mut tokenizer = base.clone();
    let ids = tokenizer.add_anyref_tokens().unwrap();
    assert_eq!(ids, (first..first + 7).collect::<Vec<_>>());
    assert_eq!(tokenizer.vocab_size(), first as usize + 7);
    assert_eq!(
        tokenizer.add_anyref_tokens().unwrap(),
        ids,
        "adding twice adds nothing"
    );
    for (token, id) in SPECIAL_TOKENS.iter().zip(&ids) {
        assert_eq!(tokenizer.token_id(token), Some(*id));
        let text = format!("the dog{token}.");
        let found = tokenizer.encode(&text, false).unwrap();
        assert_eq!(found.iter().filter(|found| *found == id).count(), 1);
        // The object token is part of the answer's text, the others are not.
        let shown = if *token == "<obj>" {
            text.as_str()
        } else {
            "the dog."
        };
        assert_eq!(tokenizer.decode(&found).unwrap(), shown);
        assert_eq!(tokenizer.decode_with_special(&found).unwrap(), text);
    }
    let dot = base.encode("x.", false).unwrap().pop();
    let found = tokenizer.encode("<obj>.", false).unwrap();
    assert_eq!(
        found.get(1..),
        Some(dot.as_slice()),
        "what follows an added token begins no word"
    );
}

#[test]
fn a_token_is_the_same_by_another_name() {
    let mut tokenizer = train_tokenizer(texts(), 450).unwrap();
    // Added as a special token, which is omitted from texts.
    let id = tokenizer.add_special_tokens(&["[SEG]"]).unwrap()[0];
    let others = tokenizer.add_special_tokens(&SPECIAL_TOKENS[1..]).unwrap();
    let size = tokenizer.vocab_size();
    let ids = tokenizer.encode("the dog[SEG].<im_start>", true).unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), "the dog.");

    tokenizer.rename_token("[SEG]", "<obj>").unwrap();
    assert_eq!(tokenizer.token_id("<obj>"), Some(id));
    assert_eq!(tokenizer.token_id("[SEG]"), None);
    assert_eq!(tokenizer.vocab_size(), size);
    let again = tokenizer.encode("the dog<obj>.<im_start>", true);
    assert_eq!(again.unwrap(), ids);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "the dog<obj>.");
    assert_eq!(
        tokenizer.add_anyref_tokens().unwrap(),
        [&[id], &others[..]].concat()
    );

    for (from, to, problem) in [
        ("[SEG]", "<mask>", "no such token"),
        ("<obj>", "<s>", "another token is"),
    ] {
        let error = tokenizer.rename_token(from, to).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
    assert_eq!(tokenizer.token_id("<obj>"), Some(id));
}

#[test]
fn an_answer_can_be_encoded_apart() {
    let tokenizer = trained();
    let conversation = llava_v1()
        .ask("Can you segment the dog?")
        .answer("the dog<obj>.");
    let whole = tokenizer.encode(&conversation.prompt(), false).unwrap();
    let pieces = conversation.pieces();
    let apart = pieces
        .iter()
        .flat_map(|piece| tokenizer.encode(&piece.text, false).unwrap());
    assert_eq!(apart.collect::<Vec<_>>(), whole);
    assert_eq!(whole.last(), Some(&2));
}

#[test]
fn offsets_cover_the_text() {
    let tokenizer = trained();
    let text = "the tiger<obj>, 虎.";
    let found = tokenizer.encode_with_offsets(text).unwrap();
    let ids: Vec<u32> = found.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, tokenizer.encode(text, false).unwrap());
    let object = found
        .iter()
        .find(|(id, _)| tokenizer.token(*id).unwrap() == "<obj>")
        .unwrap();
    assert_eq!(&text[object.1.clone()], "<obj>");
    assert_eq!(found.last().unwrap().1, text.len() - 1..text.len());
}

#[test]
fn files_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let tokenizer = trained();
    tokenizer.save(&path).unwrap();
    let loaded = Tokenizer::from_file(&path).unwrap();
    let text = "the tiger<obj> <im_start> 虎";
    assert_eq!(
        loaded.encode(text, true).unwrap(),
        tokenizer.encode(text, true).unwrap()
    );
    let bytes = Tokenizer::from_bytes(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(bytes.vocab_size(), tokenizer.vocab_size());

    let missing = Tokenizer::from_file(folder.path().join("none.json"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("none.json"), "{missing}");
    std::fs::write(&path, "{").unwrap();
    let broken = Tokenizer::from_file(&path).unwrap_err().to_string();
    assert!(broken.contains("tokenizer.json"), "{broken}");
    assert!(
        train_tokenizer(texts(), 100)
            .unwrap_err()
            .to_string()
            .contains("too small")
    );
}

/// Tokenizer of the original LLaMA, reduced to a few pieces: the normaliser prepends the space,
/// also after added tokens.
#[test]
fn llamas_own_layout_is_understood() {
    let vocab = [
        "<unk>", "<s>", "</s>", "▁", "d", "o", "g", ".", "▁d", "▁do", "▁dog", "▁.",
    ];
    let vocab: serde_json::Map<_, _> = vocab
        .iter()
        .enumerate()
        .map(|(id, piece)| ((*piece).into(), id.into()))
        .collect();
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "vocab": vocab, "unk_token": "<unk>", "fuse_unk": true,
            "byte_fallback": true, "merges": ["▁ d", "▁d o", "▁do g", "▁ ."]},
    });
    let mut tokenizer = Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap();
    tokenizer
        .add_special_tokens(&["<unk>", "<s>", "</s>"])
        .unwrap();
    assert_eq!(tokenizer.add_anyref_tokens().unwrap()[0], 12);
    assert_eq!(
        tokenizer.encode("dog<obj>.", true).unwrap(),
        [1, 10, 12, 11]
    );
    assert_eq!(tokenizer.decode(&[1, 10, 2]).unwrap(), "dog");
}
