//! Model loaded directly from the parts named by a file, equal to the assembled folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyref_core::{Answer, AnyRef, Assembly, ModelPlace, PARTS_FILE, Prompt, Reference};
use anyref_weights::Checkpoint;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{TestBackend, image, tone};
use crate::parts::{copied, language, load, published};

/// Folder with links to the parts of a LLaVA, and a file that names them.
struct Parts {
    folder: TempDir,
    file: PathBuf,
    _llm: TempDir,
}

impl Parts {
    fn new(llm: &str, file: &str, changes: Value) -> Self {
        let (folder, llm) = (tempfile::tempdir().unwrap(), language(llm));
        let mut named = json!({
            "sam": "sam.pth",
            "imagebind": published("imagebind.pth"),
            "llm": "./language",
            "seed": 1,
        });
        for (name, value) in changes.as_object().unwrap() {
            named[name] = value.clone();
        }
        std::os::unix::fs::symlink(llm.path(), folder.path().join("language")).unwrap();
        fs::copy(published("sam.pth"), folder.path().join("sam.pth")).unwrap();
        let file = folder.path().join(file);
        fs::write(&file, named.to_string()).unwrap();
        Self {
            folder,
            file,
            _llm: llm,
        }
    }
}

fn refused(file: &Path, words: &[&str]) {
    let message = AnyRef::<TestBackend>::load(file, &Default::default())
        .unwrap_err()
        .to_string();
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}

fn assert_same(found: &Checkpoint, expected: &Checkpoint) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.tensors().zip(expected.tensors()) {
        assert_eq!(found.name, expected.name);
        assert_eq!(found.dtype, expected.dtype, "{}", found.name);
        let [values, wanted] = [found, expected].map(|tensor| tensor.read().unwrap());
        assert_eq!(values, wanted, "{}", found.name);
    }
}

#[test]
fn parts_answer_as_their_assembled_folder() {
    for (llm, changes) in [
        ("llava", json!({})),
        ("llava_authors", json!({ "adapter": published("adapter") })),
        (
            "llava",
            json!({ "clip": published("clip"), "imagebind": null, "seed": 7 }),
        ),
    ] {
        let parts = Parts::new(llm, "mine.json", changes);
        let assembly = Assembly::read(&parts.file).unwrap();
        let out = parts.folder.path().join("mine");
        assembly.write::<TestBackend>(&out).unwrap();
        let place = ModelPlace::open(&parts.file).unwrap();
        assert_same(
            &AnyRef::<TestBackend>::checkpoint(&place, &Default::default()).unwrap(),
            &Checkpoint::open(&out).unwrap(),
        );

        let mut models = [load(&parts.file), load(&out)];
        let [config, wanted] = models
            .each_ref()
            .map(|model| serde_json::to_value(&model.config).unwrap());
        assert_eq!(config, wanted);
        let mut references = vec![Reference::Text("the red circle".into())];
        if models[0].config.audio.is_some() {
            references.push(Reference::Audio(tone(440.0)));
        }
        for reference in references {
            let prompt = Prompt::new([reference]);
            let [found, wanted] = models.each_mut().map(|model| {
                model.generation.max_new_tokens = 4;
                let picture = model.picture(&image(50, 40)).unwrap();
                model.segment(&picture, &prompt).unwrap()
            });
            assert_eq!(found.text, wanted.text);
            let masks = |answer: &Answer| {
                answer
                    .masks
                    .iter()
                    .map(|mask| (mask.rle.clone(), mask.score))
                    .collect::<Vec<_>>()
            };
            assert_eq!(masks(&found), masks(&wanted));
        }
    }
}

#[test]
fn a_folder_with_a_parts_file_is_a_model_by_its_own_name() {
    let parts = Parts::new("llava", PARTS_FILE, json!({}));
    let folder = parts.folder.path();
    let model = load(folder);
    let name = folder.file_name().unwrap().to_string_lossy();
    assert_eq!(model.config.name, name);
    assert_eq!(load(&parts.file).config.name, model.config.name);
    // A config makes the folder a model of the usual kind.
    fs::write(folder.join("config.json"), "{}").unwrap();
    refused(folder, &["config.json", "not an AnyRef config"]);
}

#[test]
fn parts_that_do_not_do_are_named() {
    let changed = |changes: Value, words: &[&str]| {
        refused(&Parts::new("llava", "mine.json", changes).file, words);
    };
    changed(
        json!({ "sam": "nowhere.pth" }),
        &["sam: ", "nowhere.pth", "check the path"],
    );
    changed(
        json!({ "sam": published("clip") }),
        &["sam: ", "clip", "not SAM"],
    );
    // Only a LISA contains a SAM.
    changed(json!({ "sam": null }), &["no SAM of its own", "--sam"]);
    changed(
        json!({ "llm": published("adapter") }),
        &["llm: ", "holds a PEFT adapter"],
    );
    changed(
        json!({ "adapter": "language" }),
        &["adapter: ", "language", "adapter_config.json"],
    );
    changed(
        json!({ "imagebind": "sam.pth" }),
        &["imagebind: ", "sam.pth", "not ImageBind"],
    );
    changed(
        json!({ "vision": "clip" }),
        &["mine.json", "unknown field `vision`", "`clip`"],
    );
    changed(json!({ "seed": -1 }), &["mine.json", "-1", "`seed`"]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.json");
    refused(&file, &["mine.json", "check the path"]);
    for (content, word) in [
        ("", "EOF"),
        ("[]", "expected struct"),
        (r#"{"sam": "a", "imagebind": null}"#, "missing field `llm`"),
        (r#"{"llm": "a", "sam": "b"}"#, "missing field `imagebind`"),
    ] {
        fs::write(&file, content).unwrap();
        refused(&file, &["mine.json", word, "null for none"]);
    }

    // A part whose file was truncated, and one that does not match its config.
    let parts = Parts::new("llava", "mine.json", json!({}));
    let sam = parts.folder.path().join("sam.pth");
    let bytes = fs::read(&sam).unwrap();
    fs::write(&sam, &bytes[..bytes.len() / 2]).unwrap();
    refused(&parts.file, &["sam: ", "sam.pth", "again"]);
    let clip = copied("clip");
    let config = clip.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let (from, to) = ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4");
    assert!(text.contains(from), "{text}");
    fs::write(&config, text.replace(from, to)).unwrap();
    let parts = Parts::new("llava", "mine.json", json!({ "clip": clip.path() }));
    refused(
        &parts.file,
        &["clip: ", "config.json", "num_hidden_layers is 4"],
    );
}
