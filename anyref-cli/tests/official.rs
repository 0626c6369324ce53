//! Published weights through the program: assembled, listed, compared, and refused in one line.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{asset, fail, folder, json, refused, run_in, scene, succeed, tone, write_sound};
use tempfile::TempDir;

/// Path of a tiny published part.
fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../anyref-core/tests/fixtures")
        .join(name)
}

/// Path of a checkpoint from the weights crate's tests.
fn checkpoint(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../anyref-weights/tests/fixtures")
        .join(name)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Copy of a language model's folder with the shipped tokenizer.
fn language(name: &str) -> TempDir {
    let copy = folder();
    for entry in fs::read_dir(published(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let tokenizer = "tokenizer.json";
    fs::copy(asset("nano").join(tokenizer), copy.path().join(tokenizer)).unwrap();
    copy
}

/// Arguments of an assembly with parts replaced or (by an empty path) left out.
fn assemble(llm: &Path, changes: &[(&str, &Path)]) -> Vec<String> {
    let mut parts = vec![
        ("--llm", llm.to_path_buf()),
        ("--sam", published("sam.pth")),
        ("--imagebind", published("imagebind.pth")),
        ("--out", PathBuf::from("model")),
    ];
    for (option, path) in changes {
        parts.retain(|(name, _)| name != option);
        if !path.as_os_str().is_empty() {
            parts.push((option, path.to_path_buf()));
        }
    }
    let mut line = vec!["assemble".to_owned()];
    for (option, path) in parts {
        line.extend([option.to_owned(), text(&path)]);
    }
    line
}

fn words(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

#[test]
fn info_lists_a_gguf_file() {
    let folder = folder();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-llm/tests/fixtures/gguf");
    let said = succeed(
        folder.path(),
        &["info", &text(&fixtures.join("llama.gguf"))],
    );
    for word in [
        "general.architecture = llama",
        "1 layers of width 32, context of 128 tokens",
        "420 words and pieces",
        "tokenizer.ggml.tokens = 420 values",
        "blk.0.attn_q.weight",
        "Q4_0",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let mut damaged = std::fs::read(fixtures.join("llama.gguf")).unwrap();
    damaged.truncate(20_000);
    let path = folder.path().join("damaged.gguf");
    std::fs::write(&path, damaged).unwrap();
    fail(
        folder.path(),
        &["info", &text(&path)],
        &["damaged.gguf", "truncated"],
    );
}

#[test]
fn an_assembled_folder_is_a_model() {
    let (folder, llm) = (folder(), language("llava"));
    let mut line = assemble(llm.path(), &[]);
    line.extend(["--dtype", "f16", "--shard-mb", "1"].map(String::from));
    let said = succeed(folder.path(), &words(&line));
    for word in [
        "3 layers of 32",
        "2 layers of 16",
        "audio_projector.weight",
        "model",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let model = text(&folder.path().join("model"));
    let said = succeed(folder.path(), &["info", &model]);
    assert!(said.contains("holds       an AnyRef model"), "{said}");
    assert!(
        said.contains("model: ") && said.contains("tensors match"),
        "{said}"
    );
    assert!(said.contains("llm.model.embed_tokens.weight"), "{said}");
    let scene = scene();
    let ask = [
        "segment", "--model", &model, "--image", &scene, "--text", "dog",
    ];
    let ask: Vec<_> = ask.into_iter().chain(["--max-new-tokens", "3"]).collect();
    assert_eq!(json(folder.path(), &ask)["model"], "model");
    // An existing model is not overwritten.
    fail(
        folder.path(),
        &words(&line),
        &["model", "already holds", "new folder"],
    );
}

#[test]
fn parts_are_a_model_without_a_folder() {
    let (folder, llm) = (folder(), language("llava"));
    succeed(folder.path(), &words(&assemble(llm.path(), &[])));
    fs::copy(published("sam.pth"), folder.path().join("sam.pth")).unwrap();
    let parts = serde_json::json!({
        "sam": "sam.pth", "imagebind": published("imagebind.pth"), "llm": llm.path(),
    });
    let file = folder.path().join("mine.json");
    fs::write(&file, parts.to_string()).unwrap();
    let scene = scene();
    let answer = |model: &str| {
        let ask = [
            "segment", "--model", model, "--image", &scene, "--text", "dog",
        ];
        let ask: Vec<_> = ask.into_iter().chain(["--max-new-tokens", "3"]).collect();
        json(folder.path(), &ask)
    };
    let (found, expected) = (answer("mine.json"), answer("model"));
    assert_eq!(
        (&found["model"], &expected["model"]),
        (&"mine".into(), &"model".into())
    );
    assert_eq!(found["text"], expected["text"]);
    assert_eq!(found["masks"], expected["masks"]);

    let said = succeed(folder.path(), &["info", "--model", "mine.json"]);
    for word in [
        "model       mine.json",
        "preset      mine",
        "stored as",
        "F32",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let ask = [
        "segment",
        "--model",
        "mine.json",
        "--image",
        &scene,
        "--text",
        "dog",
    ];
    // The preprocessing of sounds is known once the parts are assembled.
    write_sound(&folder.path().join("good.wav"), 16_000, 1.0, tone);
    write_sound(&folder.path().join("silence.wav"), 16_000, 1.0, |_| 0.0);
    let sounds = ["--audio", "good.wav", "--audio", "silence.wav"];
    let said = refused(folder.path(), &[&ask[..], &sounds].concat());
    assert!(
        said.contains("silence.wav") && !said.contains("good.wav"),
        "{said}"
    );
    fs::remove_file(folder.path().join("sam.pth")).unwrap();
    fail(
        folder.path(),
        &ask,
        &["mine.json: sam: ", "sam.pth", "check the path"],
    );
    fs::write(&file, "{}").unwrap();
    fail(
        folder.path(),
        &ask,
        &["mine.json", "missing field `imagebind`", "`llm`", "`sam`"],
    );
}

#[test]
fn parts_left_out_are_asked_for() {
    let (folder, llm) = (folder(), language("llava"));
    let none = Path::new("");
    let line = assemble(llm.path(), &[("--imagebind", none)]);
    fail(folder.path(), &words(&line), &["--imagebind", "--no-audio"]);
    let line = assemble(llm.path(), &[("--sam", none)]);
    let run = run_in(folder.path(), &words(&line), "");
    assert!(
        run.code == Some(1)
            && run.stderr.contains("has no SAM of its own")
            && run.stderr.contains("--sam"),
        "{}",
        run.stderr
    );
    let mut line = assemble(llm.path(), &[("--imagebind", none)]);
    line.push("--no-audio".into());
    assert!(succeed(folder.path(), &words(&line)).contains("ImageBind   none"));
    let line = assemble(Path::new("nowhere"), &[]);
    fail(folder.path(), &words(&line), &["nowhere", "check the path"]);
    let most = u64::MAX.to_string();
    for (megabytes, said) in [
        ("0", ["--shard-mb", "at least 1"]),
        (most.as_str(), ["nowhere", "check the path"]),
    ] {
        let line = [&words(&line)[..], &["--shard-mb", megabytes]].concat();
        fail(folder.path(), &line, &said);
    }
}

#[test]
fn info_lists_and_compares_any_checkpoint() {
    let folder = folder();
    let said = succeed(folder.path(), &["info", &text(&published("sam.pth"))]);
    for word in [
        "holds       SAM (authors')",
        "image_encoder.blocks.0.attn.rel_pos_h",
        "f32",
        "[5, 16]",
        "SAM image encoder: ",
        "SAM mask decoder: ",
        "tensors match",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let said = succeed(folder.path(), &["info", &text(&checkpoint("net.pt"))]);
    assert!(
        said.contains("holds       unknown") && said.contains("not compared"),
        "{said}"
    );

    let clip = text(&published("clip"));
    let run = run_in(
        folder.path(),
        &["info", &clip, "--against", "anyref-7b"],
        "",
    );
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("do not match"), "{}", run.stderr);
    for word in [
        "CLIP: missing `encoder.layers.23.mlp.fc2.weight`",
        "CLIP: wrong shape `embeddings.class_embedding` [32] instead of [1024]",
    ] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    let config = text(&asset("nano/config.json"));
    let run = run_in(folder.path(), &["info", &clip, "--against", &config], "");
    assert!(
        run.stdout.contains("[32] instead of [192]"),
        "{}",
        run.stdout
    );
    let nano = text(&asset("nano"));
    succeed(folder.path(), &["info", &nano, "--against", "nano"]);
    fail(
        folder.path(),
        &["info", &clip, "--against", "no-preset"],
        &["no-preset", "preset"],
    );
}

#[test]
fn damaged_checkpoints_end_in_one_line() {
    let folder = folder();
    let info = |path: &Path, words: &[&str]| fail(folder.path(), &["info", &text(path)], words);
    info(Path::new("nowhere.pth"), &["nowhere.pth", "check the path"]);
    info(
        &checkpoint("evil.pt"),
        &["evil.pt", "refers to", "nothing was run"],
    );

    let zeros = folder.path().join("zeros.pth");
    fs::write(&zeros, vec![0; 5000]).unwrap();
    info(&zeros, &["zeros.pth", "zeros", "again"]);
    fs::write(&zeros, b"").unwrap();
    info(&zeros, &["zeros.pth", "empty"]);

    for name in ["sam.pth", "clip/model.safetensors"] {
        let bytes = fs::read(published(name)).unwrap();
        for length in [9, 300, bytes.len() / 2, bytes.len() - 1] {
            let cut = folder.path().join("cut");
            fs::write(&cut, &bytes[..length]).unwrap();
            info(&cut, &["cut", "again"]);
            let llm = language("llava");
            let option = if name.starts_with("sam") {
                "--sam"
            } else {
                "--clip"
            };
            let line = assemble(llm.path(), &[(option, &cut)]);
            fail(folder.path(), &words(&line), &["cut", "again"]);
        }
    }
}

#[test]
fn damaged_folders_end_in_one_line() {
    let folder = folder();
    let both = |llm: &Path, words_expected: &[&str]| {
        fail(folder.path(), &["info", &text(llm)], words_expected);
        let line = assemble(llm, &[]);
        fail(folder.path(), &words(&line), words_expected);
    };
    let index = "model.safetensors.index.json";

    let llm = language("llava");
    fs::remove_file(llm.path().join("model-00003-of-00004.safetensors")).unwrap();
    both(
        llm.path(),
        &[
            index,
            "model-00003-of-00004.safetensors",
            "missing",
            "download",
        ],
    );

    let llm = language("llava");
    let file = llm.path().join(index);
    let plain = fs::read_to_string(&file).unwrap();
    let name = "\"language_model.lm_head.weight\"";
    let twice = plain.replace(
        name,
        &format!("{name}: \"model-00002-of-00004.safetensors\", {name}"),
    );
    fs::write(&file, twice).unwrap();
    both(
        llm.path(),
        &["language_model.lm_head.weight", "model-00002", index],
    );
    fs::write(&file, plain.replace(name, "\"another.weight\"")).unwrap();
    both(llm.path(), &[index, "another.weight"]);
    fs::write(&file, &plain[..plain.len() / 2]).unwrap();
    both(llm.path(), &[index, "again"]);

    let llm = language("llava");
    let file = llm.path().join("config.json");
    let plain = fs::read_to_string(&file).unwrap();
    let line = assemble(llm.path(), &[]);
    for (from, to, expected) in [
        (
            "\"model_type\": \"llama\"",
            "\"model_type\": \"gpt2\"",
            "gpt2",
        ),
        (
            "\"model_type\": \"llava\"",
            "\"model_type\": \"mllama\"",
            "mllama",
        ),
        (
            "\"num_key_value_heads\": 1",
            "\"num_key_value_heads\": 3",
            "num_key_value_heads",
        ),
        ("\"hidden_size\": 32", "\"hidden_size\": 64", "hidden_size"),
    ] {
        assert!(plain.contains(from), "{from}");
        fs::write(&file, plain.replace(from, to)).unwrap();
        fail(folder.path(), &words(&line), &["config.json", expected]);
    }
    fs::write(&file, "[]").unwrap();
    fail(folder.path(), &words(&line), &["config.json", "again"]);
    assert!(
        !folder.path().join("model").exists(),
        "nothing is written before all fits"
    );
}
