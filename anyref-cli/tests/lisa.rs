//! Published LISA on the command line: a folder, its companions, and a hub.

mod common;
#[cfg(feature = "hub")]
#[path = "../../anyref-weights/tests/common/hub_server.rs"]
mod hub_server;

use std::path::{Path, PathBuf};

use common::{Run, fail, folder, json, run_with, succeed, write_sound};
use serde_json::Value;

fn fixture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-core/tests/fixtures");
    fixtures.join(name).display().to_string()
}

/// Arguments of a question about the fixture's picture, with CLIP given.
fn ask(more: &[&str]) -> Vec<String> {
    let (model, clip, image) = (
        fixture("lisa"),
        fixture("clip"),
        fixture("lisa/picture.png"),
    );
    let asked = [
        "segment", "--model", &model, "--clip", &clip, "--image", &image,
    ];
    let short = ["--max-new-tokens", "64"];
    let all = asked.iter().chain(&short).chain(more);
    all.map(|argument| (*argument).to_owned()).collect()
}

fn answer(more: &[&str]) -> Value {
    let arguments = ask(more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    json(folder().path(), &arguments)
}

#[test]
fn words_are_answered_with_masks() {
    let first = answer(&["--text", "the tiger"]);
    assert_eq!(first["model"], "lisa");
    // As many masks as the reference has.
    assert_eq!(first["masks"].as_array().unwrap().len(), 3);
    assert_eq!(first["masks"][0]["size"], serde_json::json!([60, 94]));
    assert!(first.get("bridge").is_none());
    let question = "What is the tiger in this image? Please output segmentation mask.";
    let own = answer(&["--prompt", question]);
    assert_eq!(own["masks"], first["masks"]);
}

#[test]
fn other_references_say_what_they_are_bridged_by() {
    let boxed = answer(&["--box", "20,10,50,40"]);
    let bridge = |answer: &Value| answer["bridge"][0].clone();
    assert_eq!(bridge(&boxed)["by"], "sam_box_prompt");
    assert_eq!(bridge(&boxed)["kind"], "box");
    assert_eq!(boxed["masks"].as_array().unwrap().len(), 1);
    let image = fixture("lisa/picture.png");
    let shown = answer(&["--ref-image", &image]);
    assert_eq!(bridge(&shown)["by"], "lookalike");
    assert_eq!(shown["masks"].as_array().unwrap().len(), 1);
    let all = answer(&["--ref-image", &image, "--all"]);
    let candidates = bridge(&all)["candidates"].as_u64().unwrap();
    assert_eq!(all["masks"].as_array().unwrap().len() as u64, candidates);
    assert_eq!(all["masks"][0], shown["masks"][0]);

    // Reported on stderr for people.
    let arguments = ask(&["--box", "20,10,50,40"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = run_with(folder().path(), &arguments, "", &[]);
    assert_eq!(run.stderr, "box 1: SAM's own box prompt\n");
    assert!(run.stdout.starts_with("mask 1: "), "{}", run.stdout);
}

#[test]
fn sounds_need_imagebind() {
    let here = folder();
    let sound = here.path().join("tone.wav");
    write_sound(&sound, 16_000, 2.0, common::tone);
    let sound = sound.display().to_string();
    let arguments = ask(&["--audio", &sound]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    fail(here.path(), &arguments, &["sound", "--imagebind"]);

    let clip = here.path().join("clip");
    common::copy_folder(Path::new(&fixture("clip")), &clip);
    let words = PathBuf::from(fixture("../../../anyref-llm/tests/fixtures/clip"));
    common::copy_folder(&words, &clip);
    let labels = here.path().join("labels.txt");
    std::fs::write(&labels, "Dog\nCat\nViolin\n").unwrap();
    let (clip, labels) = (clip.display().to_string(), labels.display().to_string());
    let imagebind = fixture("sounds/imagebind.pth");
    let (model, image) = (fixture("lisa"), fixture("lisa/picture.png"));
    let mut asked = vec![
        "segment", "--model", &model, "--clip", &clip, "--image", &image,
    ];
    asked.extend(["--imagebind", &imagebind, "--sound-labels", &labels]);
    asked.extend(["--sound-threshold", "0", "--audio", &sound]);
    let answer = json(here.path(), &asked);
    let bridge = &answer["bridge"][0];
    assert_eq!(bridge["by"], "imagebind_labels");
    let told = bridge["labels"].as_array().unwrap();
    assert_eq!(told.len(), 3);
    let total: f64 = told
        .iter()
        .map(|label| label["probability"].as_f64().unwrap())
        .sum();
    assert!((total - 1.0).abs() < 1e-4, "{total}");
    assert_eq!(bridge["asked"].as_array().unwrap().len(), 3);
}

#[test]
fn its_parts_are_told_and_compared() {
    let told = succeed(folder().path(), &["info", &fixture("lisa")]);
    for words in [
        "holds       LISA (authors')",
        "language model: ",
        "object head: 4 tensors match",
        "SAM image encoder: ",
        "SAM mask decoder: ",
    ] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    assert!(!told.contains("unexpected"), "{told}");
    assert!(!told.contains("missing"), "{told}");
}

/// Weights file in the published layout with a hole for its values.
fn hollow(size: &str) -> tempfile::TempDir {
    let shapes = std::fs::read(fixture("lisa_shapes.json")).unwrap();
    let shapes: Value = serde_json::from_slice(&shapes).unwrap();
    let shapes = &shapes[size];
    let mut header = serde_json::Map::new();
    let mut end = 0u64;
    let mut add = |name: String, shape: &Value| {
        let values = shape
            .as_array()
            .unwrap()
            .iter()
            .map(|side| side.as_u64().unwrap());
        let start = end;
        end += 2 * values.product::<u64>();
        let entry =
            serde_json::json!({"dtype": "F16", "shape": shape, "data_offsets": [start, end]});
        header.insert(name, entry);
    };
    for row in shapes["tensors"].as_array().unwrap() {
        let name = row[0].as_str().unwrap();
        match row.get(2) {
            None => add(name.to_owned(), &row[1]),
            Some(layers) => {
                for layer in layers.as_array().unwrap() {
                    add(name.replace('*', &layer.to_string()), &row[1]);
                }
            }
        }
    }
    let header = serde_json::to_vec(&header).unwrap();
    let folder = folder();
    let file = std::fs::File::create(folder.path().join("model.safetensors")).unwrap();
    let mut writer = &file;
    std::io::Write::write_all(&mut writer, &(header.len() as u64).to_le_bytes()).unwrap();
    std::io::Write::write_all(&mut writer, &header).unwrap();
    file.set_len(8 + header.len() as u64 + end).unwrap();
    let config = std::fs::read(fixture("lisa/config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    for (field, value) in shapes["sizes"].as_object().unwrap() {
        config[field] = value.clone();
    }
    config["num_key_value_heads"] = shapes["sizes"]["num_attention_heads"].clone();
    (config["vocab_size"], config["mm_hidden_size"]) = (32_003.into(), 1024.into());
    let config = serde_json::to_vec(&config).unwrap();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    folder
}

#[test]
fn the_published_sizes_fit_by_their_shapes() {
    for (size, language) in [("7b", 291), ("13b", 363)] {
        let hollow = hollow(size);
        let path = hollow.path().display().to_string();
        let preset = format!("lisa-{size}");
        for against in [vec![], vec!["--against", &preset]] {
            let told = succeed(hollow.path(), &[&["info", &path], &against[..]].concat());
            for words in [
                &format!("language model: {language} tensors match"),
                "object head: 4 tensors match",
                "SAM image encoder: 457 tensors match",
            ] {
                assert!(told.contains(words), "no {words:?} in {size}");
            }
            assert!(!told.contains("unexpected"));
            assert!(!told.contains("missing"));
        }
    }
}

#[test]
fn folders_of_other_families_are_told_what_is_supported() {
    let clip = fixture("clip");
    let image = fixture("lisa/picture.png");
    let asked = [
        "segment", "--model", &clip, "--image", &image, "--text", "a",
    ];
    fail(folder().path(), &asked, &["CLIP", "supported: LISA"]);
}

#[cfg(feature = "hub")]
#[test]
fn what_the_config_names_is_fetched() {
    use hub_server::{HubServer, Repository};

    let server = HubServer::start();
    let publish = |name: &str, commit: &str, folder: &str| {
        let repository = Repository::of_folder(commit, Path::new(&fixture(folder)));
        server.publish(name, "main", repository);
    };
    publish("xinlai/LISA-tiny", "abcdef01", "lisa");
    let home = folder();
    let run = |offline: bool| -> Run {
        let mut variables = server.environment(home.path());
        if offline {
            variables.push(("HF_HUB_OFFLINE", "1".into()));
        }
        let variables: Vec<_> = variables.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let image = fixture("lisa/picture.png");
        let mut asked = vec!["segment", "--json", "--model", "hf://xinlai/LISA-tiny"];
        asked.extend([
            "--image",
            &image,
            "--text",
            "the tiger",
            "--max-new-tokens",
            "64",
        ]);
        run_with(home.path(), &asked, "", &variables)
    };
    // The hub has no CLIP yet.
    let failed = run(false);
    assert_eq!(failed.code, Some(1), "{}", failed.stdout);
    assert!(
        failed.stderr.contains("openai/clip-vit-large-patch14"),
        "{}",
        failed.stderr
    );
    // Without a connection it is in no cache either.
    let offline = run(true);
    assert_eq!(offline.code, Some(1), "{}", offline.stdout);
    let message = offline.stderr.trim_end();
    assert_eq!(message.lines().count(), 1, "{message}");
    for words in ["openai/clip-vit-large-patch14", "HF_HUB_OFFLINE"] {
        assert!(message.contains(words), "no {words:?} in {message}");
    }
    publish("openai/clip-vit-large-patch14", "abcdef02", "clip");
    for offline in [false, true] {
        let answered = run(offline);
        assert_eq!(answered.code, Some(0), "{}", answered.stderr);
        let answered: Value = serde_json::from_str(&answered.stdout).unwrap();
        assert_eq!(answered["masks"].as_array().unwrap().len(), 3);
        assert_eq!(answered["model"], "LISA-tiny");
    }
}
