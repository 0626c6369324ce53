//! Runs of the real program, and models with known answers.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod demonstration;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

/// Output and exit code of a run.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program in a folder, with backtraces on: none may show.
pub fn run_in(folder: &Path, arguments: &[&str], input: impl AsRef<[u8]>) -> Run {
    run_with(folder, arguments, input, &[])
}

/// Runs the program in a folder with these environment variables; empty ones are removed.
pub fn run_with(
    folder: &Path,
    arguments: &[&str],
    input: impl AsRef<[u8]>,
    variables: &[(&str, &str)],
) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anyref"));
    // Not the cache of the user who runs the tests.
    command.env("ANYREF_CACHE", env!("CARGO_TARGET_TMPDIR"));
    for (name, value) in variables {
        match value.is_empty() {
            true => command.env_remove(name),
            false => command.env(name, value),
        };
    }
    let mut child = command
        .args(arguments)
        .current_dir(folder)
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may end without reading anything.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program and expects success.
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let run = run_in(folder, arguments, "");
    assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.stderr);
    run.stdout
}

/// Runs the program with `--json` and expects success.
pub fn json(folder: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&succeed(folder, &arguments)).unwrap()
}

/// Runs the program and expects one line on stderr that has all of `words`, and exit code 1.
pub fn fail(folder: &Path, arguments: &[&str], words: &[&str]) {
    let message = refused(folder, arguments);
    for word in words {
        assert!(
            message.contains(word),
            "{arguments:?}: no {word:?} in {message}"
        );
    }
}

/// Runs the program and expects only one line on stderr, which it returns, and exit code 1.
pub fn refused(folder: &Path, arguments: &[&str]) -> String {
    let run = run_in(folder, arguments, "");
    let message = run.stderr.trim_end();
    assert_eq!(run.code, Some(1), "{arguments:?}: {message} {}", run.stdout);
    assert!(message.starts_with("error: "), "{arguments:?}: {message}");
    assert_eq!(message.lines().count(), 1, "{arguments:?}: {message}");
    assert!(
        !message.contains("panicked") && !message.contains("backtrace"),
        "{message}"
    );
    assert_eq!(run.stdout, "", "{arguments:?}");
    message.to_owned()
}

/// Path of a file in the repository's `assets`.
pub fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../assets")
        .join(name)
}

/// Path of a bundled scene of 256x256 pixels.
pub fn scene() -> String {
    asset("demo/scene1.jpg").display().to_string()
}

/// Folder of one test.
pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Copy of the shipped model's folder.
pub fn model() -> TempDir {
    let folder = folder();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(asset("nano").join(file), folder.path().join(file)).unwrap();
    }
    folder
}

/// Copy of the shipped model's folder, with a changed config.
pub fn changed(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = model();
    let file = folder.path().join("config.json");
    let config = std::fs::read_to_string(&file).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    change(&mut config);
    std::fs::write(file, config.to_string()).unwrap();
    folder
}

/// Path of a model that always answers `<obj>` until its answer is full: one mask a token.
pub fn pointing() -> &'static str {
    static MODEL: OnceLock<(TempDir, String)> = OnceLock::new();
    &MODEL.get_or_init(|| always("<obj>")).1
}

/// Arguments of a question about a picture that is answered with one mask, and further arguments.
pub fn one_mask<'a>(image: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let question = [
        "segment",
        "--model",
        pointing(),
        "--max-new-tokens",
        "1",
        "--image",
        image,
        "--text",
        "dog",
    ];
    [&question[..], more].concat()
}

/// Path of a model with empty answers.
pub fn silent() -> &'static str {
    static MODEL: OnceLock<(TempDir, String)> = OnceLock::new();
    &MODEL.get_or_init(|| always("</s>")).1
}

/// Shipped model with a language model that knows one token: every embedding has the same large
/// first component, the layers add nothing, and the head reads that component for one token only.
fn always(token: &str) -> (TempDir, String) {
    let folder = folder();
    std::fs::copy(
        asset("nano/tokenizer.json"),
        folder.path().join("tokenizer.json"),
    )
    .unwrap();
    // Masks count however poor or unlikely they are.
    let config = std::fs::read_to_string(asset("nano/config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["min_mask_score"] = 0.into();
    config["candidates"]["count"] = 1.into();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let tokenizer = std::fs::read_to_string(asset("nano/tokenizer.json")).unwrap();
    let tokenizer: Value = serde_json::from_str(&tokenizer).unwrap();
    let added = tokenizer["added_tokens"].as_array().unwrap();
    let id = added
        .iter()
        .find(|entry| entry["content"] == token)
        .unwrap()["id"]
        .as_u64()
        .unwrap();

    let bytes = std::fs::read(asset("nano/model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let patched: Vec<_> = tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let mut data = view.data().to_vec();
            let width = view.shape().last().copied().unwrap_or(1);
            if name.ends_with("embed_tokens.weight") {
                fill(&mut data, width, None);
            } else if name.ends_with("lm_head.weight") {
                data.fill(0);
                fill(&mut data, width, Some(id as usize));
            } else if name.starts_with("llm.")
                && (name.contains("o_proj") || name.contains("down_proj"))
            {
                data.fill(0);
            } else if name == "llm.model.norm.weight" {
                data.chunks_exact_mut(2)
                    .for_each(|value| value.copy_from_slice(&[0x00, 0x3c]));
            }
            (name, view.dtype(), view.shape().to_vec(), data)
        })
        .collect();
    let views = patched.iter().map(|(name, dtype, shape, data)| {
        (
            name.as_str(),
            TensorView::new(*dtype, shape.clone(), data).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
    let path = folder.path().display().to_string();
    (folder, path)
}

/// Sets the first value of each row, or of one row, to 32 in half precision.
fn fill(data: &mut [u8], width: usize, only: Option<usize>) {
    for (row, values) in data.chunks_exact_mut(width * 2).enumerate() {
        if only.is_none_or(|only| only == row) {
            values[..2].copy_from_slice(&[0x00, 0x50]);
        }
    }
}

/// Writes a mono 16-bit sound.
pub fn write_sound(path: &Path, rate: u32, seconds: f64, sample: impl Fn(usize) -> f64) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for index in 0..(f64::from(rate) * seconds) as usize {
        writer
            .write_sample((sample(index) * 32767.0) as i16)
            .unwrap();
    }
    writer.finalize().unwrap();
}

/// Audible tone.
pub fn tone(index: usize) -> f64 {
    0.5 * (index as f64 * 0.2).sin()
}

/// Copies a folder recursively.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}
