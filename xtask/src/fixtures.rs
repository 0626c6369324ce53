//! `cargo xtask fixtures`: writes the tests' reference numbers from the reference implementations.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cargo;

const PACKAGES: &str = "torch torchvision torchaudio transformers segment-anything peft pycocotools opencv-python-headless safetensors jinja2 'pillow<13'";
/// Packages that the exporter of captions needs, beside Java.
const CAPTIONS: &str = "numpy pycocoevalcap";
/// Packages that the exporters of tokenizers need.
const TOKENIZERS: &str = "'transformers<5' sentencepiece protobuf";
/// Packages that the exporters of CLIP's tokenizer and of sounds need besides [`PACKAGES`].
const CLIP_TOKENIZER: &str = "ftfy regex";
/// Crates whose tests have an exporter.
const CRATES: [&str; 8] = [
    "anyref-weights",
    "anyref-vision",
    "anyref-audio",
    "anyref-llm",
    "anyref-decoder",
    "anyref-core",
    "anyref-data",
    "anyref-eval",
];
/// Prefix of the exporters' names.
const EXPORTER: &str = "export";

/// Options of `fixtures`.
#[derive(Debug, Args)]
pub struct Fixtures {
    /// Python with the packages
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: PathBuf,
    /// Crates to write fixtures for; all by default
    #[arg(value_name = "CRATE", value_parser = CRATES)]
    crates: Vec<String>,
}

/// Runs the exporters.
pub fn run(options: &Fixtures) -> Result<()> {
    println!("needs a Python with: pip install {PACKAGES}");
    println!("and for anyref-eval, beside Java: pip install {CAPTIONS}");
    println!("and for tokenizers another one with: pip install {TOKENIZERS}");
    println!("and for CLIP's tokenizer and sounds: pip install {CLIP_TOKENIZER}");
    let named = options.crates.iter().map(String::as_str);
    let crates: Vec<&str> = if options.crates.is_empty() {
        CRATES.to_vec()
    } else {
        named.collect()
    };
    let mut failed = Vec::new();
    for name in crates {
        let folder = cargo::root().join(name).join("tests/fixtures");
        for script in exporters(&folder)? {
            println!("{}", script.display());
            let mut python = Command::new(&options.python);
            if let Err(error) = cargo::run(python.arg(&script).current_dir(&folder)) {
                eprintln!("{error:#}");
                failed.push(script.display().to_string());
            }
        }
    }
    if !failed.is_empty() {
        bail!("no new fixtures from {}", failed.join(", "));
    }
    Ok(())
}

/// Exporters of a folder. Some need other versions of the packages than the rest, and say so.
fn exporters(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| folder.display().to_string())?
    {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(EXPORTER) && name.ends_with(".py") {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}
