//! Models given as `hf://org/name`, from a hub on this machine.
#![cfg(feature = "hub")]

mod common;
#[path = "../../anyref-weights/tests/common/hub_server.rs"]
mod hub_server;

use std::path::Path;

use common::{Run, asset, folder, run_with, scene};
use hub_server::{HubServer, Repository};
use serde_json::Value;

/// Hub with the shipped model, and an empty cache.
struct Test {
    server: HubServer,
    home: tempfile::TempDir,
}

impl Test {
    fn new() -> Self {
        let server = HubServer::start();
        let read = |name: &str| std::fs::read(asset("nano").join(name)).unwrap();
        let names = [
            "config.json",
            "tokenizer.json",
            "model.safetensors",
            "README.md",
        ];
        let contents = names.map(read);
        let files: Vec<(&str, &[u8])> = names
            .iter()
            .zip(&contents)
            .map(|(name, content)| (*name, content.as_slice()))
            .collect();
        server.publish("anyref/nano", "main", Repository::new("abcdef01", &files));
        Self {
            server,
            home: folder(),
        }
    }

    fn run(&self, arguments: &[&str], offline: bool) -> Run {
        let mut variables = self.server.environment(self.home.path());
        if offline {
            variables.push(("HF_HUB_OFFLINE", "1".into()));
        }
        let variables: Vec<_> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
        run_with(self.home.path(), arguments, "", &variables)
    }

    /// Answer of a model, without its times.
    fn answer(&self, model: &str, offline: bool) -> Value {
        let image = scene();
        let arguments = [
            "segment",
            "--json",
            "--model",
            model,
            "--image",
            &image,
            "--text",
            "the gorilla",
        ];
        let run = self.run(&arguments, offline);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{model}");
        let mut answer: Value = serde_json::from_str(&run.stdout).unwrap();
        answer.as_object_mut().unwrap().remove("timing_ms");
        answer
    }

    /// Runs and expects one line that has all of `words`.
    fn fail(&self, arguments: &[&str], words: &[&str]) {
        let run = self.run(arguments, false);
        let message = run.stderr.trim_end();
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{message}");
        assert!(message.starts_with("error: "), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        for word in words {
            assert!(message.contains(word), "no {word:?} in {message}");
        }
    }
}

#[test]
fn a_model_of_the_hub_answers_as_from_disk() {
    let test = Test::new();
    let disk = test.answer(&asset("nano").display().to_string(), false);
    assert!(test.server.requests().is_empty());
    test.server.cut("model.safetensors", &[7_000_000]);
    assert_eq!(test.answer("hf://anyref/nano", false), disk);
    let resumed = |request: &hub_server::Request| matches!(request.range, Some((1.., None)));
    assert!(
        test.server.requests().iter().any(resumed),
        "the cut was not resumed"
    );
    let snapshots = test.home.path().join("hub/models--anyref--nano/snapshots");
    assert!(
        snapshots
            .join("abcdef01".repeat(5))
            .join("model.safetensors")
            .is_file()
    );

    assert_eq!(test.answer("hf://anyref/nano@main", true), disk);
    assert!(
        test.server.requests().is_empty(),
        "offline nothing is asked"
    );
    let info = test.run(&["info", "--model", "hf://anyref/nano"], false);
    assert_eq!(info.code, Some(0), "{}", info.stderr);
    assert!(info.stdout.contains("hf://anyref/nano"), "{}", info.stdout);
}

/// Parts file of the hub that names files beside it, and a language model of another repository.
#[test]
fn parts_come_from_the_hub() {
    let test = Test::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-core/tests/fixtures");
    let read = |path: &Path| std::fs::read(path).unwrap();
    let mut llm = Repository::of_folder("1234abcd", &fixtures.join("llava"));
    let tokenizer = read(&asset("nano/tokenizer.json"));
    llm.files.insert("tokenizer.json".into(), tokenizer);
    test.server.publish("anyref/llava", "main", llm);
    let parts = r#"{"sam": "weights/sam.pth", "imagebind": null, "llm": "hf://anyref/llava"}"#;
    let files = [
        ("parts.json", parts.as_bytes()),
        ("weights/sam.pth", &read(&fixtures.join("sam.pth"))),
    ];
    test.server
        .publish("anyref/mine", "main", Repository::new("5678abcd", &files));
    let image = scene();
    let answer = |model: &str| {
        let ask = [
            "segment",
            "--json",
            "--max-new-tokens",
            "3",
            "--model",
            model,
            "--image",
            &image,
            "--text",
            "dog",
        ];
        let run = test.run(&ask, false);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{model}");
        serde_json::from_str::<Value>(&run.stdout).unwrap()
    };
    let (whole, file) = (
        answer("hf://anyref/mine"),
        answer("hf://anyref/mine@main/parts.json"),
    );
    assert_eq!(whole["text"], file["text"]);
    assert_eq!(whole["masks"], file["masks"]);
    // Named after the repository, not after the folder of its commit in the cache.
    let info = test.run(&["info", "--model", "hf://anyref/mine"], false);
    assert_eq!(info.code, Some(0), "{}", info.stderr);
    assert!(
        info.stdout.contains("preset      mine\n"),
        "{}",
        info.stdout
    );
    assert!(info.stdout.contains("hf://anyref/mine"), "{}", info.stdout);
}

#[test]
fn what_the_hub_does_not_give_ends_in_one_line() {
    let test = Test::new();
    let segment = |model: &str, words: &[&str]| {
        let image = scene();
        test.fail(
            &[
                "segment", "--model", model, "--image", &image, "--text", "dog",
            ],
            words,
        );
    };
    segment(
        "hf://anyref/none",
        &["hf://anyref/none", "no model", "check both"],
    );
    segment(
        "hf://secret/model",
        &["hf://secret/model", "access denied", "HF_TOKEN"],
    );
    segment("hf://nano", &["hf://nano", "hf://org/name"]);
    segment(
        "hf://anyref/nano/README.md",
        &["README.md", "no such model folder"],
    );
    let eval = [
        "eval",
        "stamps",
        "--n",
        "1",
        "--config",
        "hf://anyref/nano/none.json",
    ];
    test.fail(&eval, &["hf://anyref/nano/none.json", "it has README.md"]);
    let empty = Repository::new("00000001", &[("config.json", b"{}"), ("w.bin", b"PK")]);
    test.server.publish("anyref/empty", "main", empty);
    segment("hf://anyref/empty", &["hf://anyref/empty", "config.json"]);
}
