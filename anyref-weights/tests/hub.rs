//! Downloads from a hub on this machine.
#![cfg(feature = "hub")]

#[path = "common/hub_server.rs"]
mod hub_server;

use std::path::{Path, PathBuf};

use anyref_weights::hub::{Hub, HubConfig, HubError};
use hub_server::{Damage, HubServer, Repository, hash};
use tempfile::TempDir;

const NAME: &str = "org/model-7b";

/// Bytes with a long period.
fn weights(length: u32) -> Vec<u8> {
    let byte = |index: u32| (index.wrapping_mul(2_654_435_761) >> 13) as u8;
    (0..length).map(byte).collect()
}

struct Test {
    server: HubServer,
    home: TempDir,
}

impl Test {
    /// Starts a server with a model folder of 300 kB.
    fn new() -> Self {
        let test = Self {
            server: HubServer::start(),
            home: tempfile::tempdir().unwrap(),
        };
        let weights = weights(300_000);
        let repository = Repository::new(
            "c0ffee00",
            &[
                ("README.md", b"# A model"),
                ("config.json", b"{\"a\": 1}"),
                ("model.safetensors", &weights),
                ("pytorch_model.bin", b"never"),
                ("sub/adapter_config.json", b"{}"),
                ("sub/adapter_model.bin", b"adapter"),
                ("sub/deeper/x.bin", b"never"),
                ("tokenizer.model", b"tokens"),
            ],
        );
        test.server.publish(NAME, "main", repository);
        test
    }

    fn config(&self) -> HubConfig {
        let mut config = HubConfig::new(self.home.path().join("hub"));
        config.endpoint = self.server.endpoint();
        config
    }

    fn fetch(&self, location: &str) -> Result<PathBuf, HubError> {
        fetch(self.config(), location)
    }

    /// Names of the blobs in the cache.
    fn blobs(&self) -> Vec<String> {
        names(&self.home.path().join("hub/models--org--model-7b/blobs"))
    }

    /// Files requested, with the first byte, without the requests for their length.
    fn downloads(&self) -> Vec<(String, usize)> {
        let asked = self
            .server
            .requests()
            .into_iter()
            .filter_map(|request| match request.range {
                Some((first, None)) => Some((request.path, first)),
                _ => None,
            });
        asked
            .filter(|(path, _)| path.contains("/resolve/"))
            .collect()
    }
}

fn fetch(config: HubConfig, location: &str) -> Result<PathBuf, HubError> {
    Hub::new(config).unwrap().fetch(&location.parse()?)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = entries
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, HubError>, words: &[&str]) -> HubError {
    let error = result.unwrap_err();
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
    error
}

#[test]
fn a_folder_is_fetched_once_and_only_what_its_reader_wants() {
    let test = Test::new();
    let folder = test.fetch("hf://org/model-7b").unwrap();
    assert_eq!(
        names(&folder),
        ["config.json", "model.safetensors", "tokenizer.model"]
    );
    assert_eq!(
        std::fs::read(folder.join("model.safetensors")).unwrap(),
        weights(300_000)
    );
    assert_eq!(
        std::fs::read(folder.join("config.json")).unwrap(),
        b"{\"a\": 1}"
    );
    // Layout of the Python library's cache.
    let commit = "c0ffee00".repeat(5);
    let root = test.home.path().join("hub/models--org--model-7b");
    assert_eq!(folder, root.join("snapshots").join(&commit));
    assert_eq!(
        std::fs::read_to_string(root.join("refs/main")).unwrap(),
        commit
    );
    assert!(root.join("blobs").join(hash(&weights(300_000))).is_file());
    assert_eq!(test.downloads().len(), 3);

    assert_eq!(test.fetch("hf://org/model-7b").unwrap(), folder);
    let again = test.server.requests();
    assert_eq!(
        again.len(),
        1,
        "only the listing is asked for again: {again:?}"
    );
    assert!(
        again[0]
            .path
            .starts_with("/api/models/org/model-7b/revision/main")
    );
}

#[test]
fn files_and_folders_inside_are_fetched_alone() {
    let test = Test::new();
    let file = test.fetch("hf://org/model-7b/config.json").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"{\"a\": 1}");
    assert_eq!(names(file.parent().unwrap()), ["config.json"]);
    let folder = test.fetch("hf://org/model-7b/sub").unwrap();
    assert!(folder.ends_with("sub"));
    assert_eq!(names(&folder), ["adapter_config.json", "adapter_model.bin"]);
    let message = &["hf://org/model-7b/none.bin", "README.md, config.json"];
    refused(test.fetch("hf://org/model-7b/none.bin"), message);
}

#[test]
fn an_index_brings_its_shards() {
    let test = Test::new();
    let index = br#"{"weight_map": {"a": "w-1.safetensors", "b": "w-2.safetensors", "c": "gone.safetensors",
        "d": "../../outside"}}"#;
    let files: [(&str, &[u8]); 4] = [
        ("llm/model.safetensors.index.json", index),
        ("llm/w-1.safetensors", b"one"),
        ("llm/w-2.safetensors", b"two"),
        ("llm/w-3.safetensors", b"never"),
    ];
    test.server
        .publish("org/sharded", "main", Repository::new("5ba4ded0", &files));
    let wanted = [
        "model.safetensors.index.json",
        "w-1.safetensors",
        "w-2.safetensors",
    ];
    let folder = test.fetch("hf://org/sharded/llm").unwrap();
    assert_eq!(names(&folder), wanted);
    let other = Test::new();
    other
        .server
        .publish("org/sharded", "main", Repository::new("5ba4ded0", &files));
    let file = other
        .fetch("hf://org/sharded/llm/model.safetensors.index.json")
        .unwrap();
    assert_eq!(names(file.parent().unwrap()), wanted);
}

#[test]
fn a_cut_connection_is_resumed_where_it_broke_off() {
    let test = Test::new();
    test.server.cut("model.safetensors", &[100_000, 0, 50_000]);
    let folder = test.fetch("hf://org/model-7b").unwrap();
    assert_eq!(
        std::fs::read(folder.join("model.safetensors")).unwrap(),
        weights(300_000)
    );
    let starts: Vec<usize> = test
        .downloads()
        .into_iter()
        .filter(|(path, _)| path.ends_with("model.safetensors"))
        .map(|(_, start)| start)
        .collect();
    assert_eq!(starts, [0, 100_000, 100_000, 150_000]);
}

#[test]
fn another_run_goes_on_with_a_broken_download() {
    let test = Test::new();
    let mut config = test.config();
    config.retries = 0;
    test.server.cut("model.safetensors", &[120_000]);
    let words = [
        "hf://org/model-7b",
        "model.safetensors",
        "broke off",
        "run it again",
    ];
    refused(fetch(config.clone(), "hf://org/model-7b"), &words);
    let refs = test.home.path().join("hub/models--org--model-7b/refs/main");
    assert!(!refs.exists(), "half a model has no name");
    test.server.requests();
    let folder = fetch(config, "hf://org/model-7b").unwrap();
    let path = format!(
        "/org/model-7b/resolve/{}/model.safetensors",
        "c0ffee00".repeat(5)
    );
    assert!(test.downloads().contains(&(path, 120_000)));
    assert_eq!(
        std::fs::read(folder.join("model.safetensors")).unwrap(),
        weights(300_000)
    );
    assert!(refs.exists());
}

#[test]
fn a_part_that_cannot_be_continued_is_dropped() {
    let test = Test::new();
    let blobs = test.home.path().join("hub/models--org--model-7b/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    for length in [300_000, 400_000] {
        let part = blobs.join(format!("{}.part", hash(&weights(300_000))));
        std::fs::write(&part, vec![0; length]).unwrap();
        let file = test.fetch("hf://org/model-7b/model.safetensors").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), weights(300_000), "{length}");
        std::fs::remove_file(file.canonicalize().unwrap()).unwrap();
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn revisions_are_kept_apart_and_share_what_did_not_change() {
    let test = Test::new();
    let weights = weights(300_000);
    let files: [(&str, &[u8]); 2] = [
        ("config.json", b"{\"a\": 2}"),
        ("model.safetensors", &weights),
    ];
    let commit = "beefcafe".repeat(5);
    test.server
        .publish(NAME, "v2", Repository::new("beefcafe", &files));
    let first = test.fetch("hf://org/model-7b").unwrap();
    test.downloads();
    let second = test.fetch("hf://org/model-7b@v2").unwrap();
    let asked = test.downloads();
    assert_eq!(asked.len(), 1, "the weights are there: {asked:?}");
    assert!(asked[0].0.ends_with("config.json"));
    assert_ne!(first, second);
    assert_eq!(
        std::fs::read(second.join("config.json")).unwrap(),
        b"{\"a\": 2}"
    );
    assert_eq!(
        std::fs::read(second.join("model.safetensors")).unwrap(),
        weights
    );
    assert_eq!(
        std::fs::read(first.join("config.json")).unwrap(),
        b"{\"a\": 1}"
    );
    assert_eq!(
        test.fetch(&format!("hf://org/model-7b@{commit}")).unwrap(),
        second
    );
    refused(
        test.fetch("hf://org/model-7b@v3"),
        &["hf://org/model-7b@v3", "`v3`", "check both"],
    );
}

#[test]
fn tokens_open_private_models() {
    let test = Test::new();
    let mut repository = Repository::new(
        "5ec4e700",
        &[("config.json", b"{}"), ("w.bin", &weights(5000))],
    );
    repository.token = Some("hf_right".into());
    test.server.publish("org/private", "main", repository);
    let with = |token: &str| {
        let mut config = test.config();
        config.token = Some(token.into());
        config
    };
    let location = "hf://org/private";
    let error = refused(
        test.fetch(location),
        &[location, "access denied", "set HF_TOKEN"],
    );
    assert!(matches!(error, HubError::TokenNeeded(_)), "{error:?}");
    let words = [
        location,
        "denied with this token",
        "ask for access at http://127.0.0.1",
    ];
    refused(fetch(with("hf_wrong"), location), &words);
    let folder = fetch(with("hf_right"), location).unwrap();
    assert_eq!(names(&folder), ["config.json", "w.bin"]);
    assert!(!format!("{:?}", Hub::new(with("hf_right")).unwrap()).contains("hf_right"));
}

#[test]
fn what_is_not_there_is_named() {
    let test = Test::new();
    refused(
        test.fetch("hf://org/none"),
        &["hf://org/none", "no model `org/none`", "check"],
    );
    refused(
        test.fetch("hf://secret/none"),
        &["hf://secret/none", "HF_TOKEN"],
    );
    refused(test.fetch("hf://model"), &["hf://model", "hf://org/name"]);
    let nothing = Repository::new("00000000", &[("README.md", b"soon")]);
    test.server.publish("org/soon", "main", nothing);
    refused(
        test.fetch("hf://org/soon"),
        &["hf://org/soon", "it has README.md"],
    );
    let mut config = test.config();
    config.endpoint += "/elsewhere";
    refused(
        fetch(config, "hf://org/model-7b"),
        &["/elsewhere has no model"],
    );
    let mut config = test.config();
    config.endpoint = "mirror".into();
    refused(Hub::new(config), &["HF_ENDPOINT", "https://huggingface.co"]);
}

#[test]
fn without_a_connection_the_cache_is_used() {
    let Test { server, home } = Test::new();
    let mut config = HubConfig::new(home.path());
    config.endpoint = server.endpoint();
    let folder = fetch(config.clone(), "hf://org/model-7b").unwrap();
    drop(server);
    assert_eq!(fetch(config.clone(), "hf://org/model-7b").unwrap(), folder);
    let commit = format!("hf://org/model-7b@{}", "c0ffee00".repeat(5));
    assert_eq!(fetch(config.clone(), &commit).unwrap(), folder);
    let words = [
        "hf://org/other",
        "no answer from http://127.0.0.1",
        "HF_ENDPOINT",
    ];
    refused(fetch(config.clone(), "hf://org/other"), &words);

    config.offline = true;
    assert_eq!(fetch(config.clone(), "hf://org/model-7b").unwrap(), folder);
    refused(
        fetch(config, "hf://org/other"),
        &["hf://org/other", "HF_HUB_OFFLINE"],
    );
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let test = Test::new();
    let file = test.home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut config = test.config();
    config.cache = file.join("hub");
    let words = [&*file.display().to_string(), "HF_HOME"];
    refused(fetch(config, "hf://org/model-7b"), &words);
}

#[test]
fn content_that_is_not_the_hubs_is_refused_and_fetched_anew() {
    let test = Test::new();
    let location = "hf://org/model-7b/model.safetensors";
    test.server.damage("model.safetensors", Damage::Byte);
    let expected = hash(&weights(300_000));
    let words = [
        location,
        "model.safetensors is damaged",
        &expected,
        "removed",
        "run it again",
    ];
    let error = refused(test.fetch(location), &words);
    assert!(matches!(error, HubError::Checksum { .. }), "{error:?}");
    assert_eq!(
        test.blobs(),
        [format!("{expected}.lock"), format!("{expected}.unchecked")]
    );
    let file = test.fetch(location).unwrap();
    assert_eq!(std::fs::read(file).unwrap(), weights(300_000));
    assert_eq!(test.blobs(), [expected.clone(), format!("{expected}.lock")]);
}

#[test]
fn a_part_of_another_file_is_found_out() {
    let test = Test::new();
    let expected = hash(&weights(300_000));
    let blobs = test.home.path().join("hub/models--org--model-7b/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(format!("{expected}.part")), vec![7; 120_000]).unwrap();
    let error = refused(test.fetch("hf://org/model-7b"), &["is damaged"]);
    assert!(matches!(error, HubError::Checksum { .. }), "{error:?}");
    let file = test
        .fetch("hf://org/model-7b")
        .unwrap()
        .join("model.safetensors");
    assert_eq!(std::fs::read(file).unwrap(), weights(300_000));
}

#[test]
fn a_run_that_ended_before_its_check_leaves_it_to_the_next() {
    let test = Test::new();
    let file = test.fetch("hf://org/model-7b/model.safetensors").unwrap();
    let blob = file.canonicalize().unwrap();
    std::fs::write(&blob, vec![7; 300_000]).unwrap();
    // A file that was verified once, or came from another program, is not read again.
    test.fetch("hf://org/model-7b/model.safetensors").unwrap();
    std::fs::write(blob.with_extension("unchecked"), "").unwrap();
    let error = refused(test.fetch("hf://org/model-7b"), &["is damaged"]);
    assert!(matches!(error, HubError::Checksum { .. }), "{error:?}");
    assert!(!blob.exists());
    test.fetch("hf://org/model-7b").unwrap();
    assert_eq!(std::fs::read(file).unwrap(), weights(300_000));
}

#[test]
fn a_file_that_is_too_short_is_refused_and_fetched_anew() {
    let test = Test::new();
    for name in ["config.json", "model.safetensors"] {
        let location = format!("hf://org/model-7b/{name}");
        test.server.damage(name, Damage::Length);
        let words = [
            &*location,
            "bytes and the hub says",
            "removed",
            "run it again",
        ];
        let error = refused(test.fetch(&location), &words);
        assert!(matches!(error, HubError::Size { .. }), "{error:?}");
        test.fetch(&location).unwrap();
    }
}

#[test]
fn half_a_model_does_not_count_as_cached() {
    let test = Test::new();
    let mut config = test.config();
    config.retries = 0;
    test.server.cut("model.safetensors", &[120_000]);
    refused(fetch(config.clone(), "hf://org/model-7b"), &["broke off"]);
    config.offline = true;
    test.server.requests();
    let words = ["hf://org/model-7b", "not in the cache", "HF_HUB_OFFLINE"];
    refused(fetch(config.clone(), "hf://org/model-7b"), &words);
    assert!(
        test.server.requests().is_empty(),
        "offline nothing is asked"
    );
    config.offline = false;
    let folder = fetch(config.clone(), "hf://org/model-7b").unwrap();
    config.offline = true;
    assert_eq!(fetch(config, "hf://org/model-7b").unwrap(), folder);
}
