//! `cargo xtask fixtures`: writes the numbers that tests compare with, from the reference implementations.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::cargo;

const PACKAGES: &str = "torch torchvision torchaudio transformers segment-anything peft pycocotools safetensors 'pillow<13'";
/// Crates whose tests have an exporter.
const CRATES: [&str; 5] = [
    "anyref-weights",
    "anyref-vision",
    "anyref-audio",
    "anyref-llm",
    "anyref-decoder",
];
const EXPORTER: &str = "export.py";

/// Options of `fixtures`.
#[derive(Debug, Args)]
pub struct Fixtures {
    /// A Python with the packages
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: PathBuf,
    /// Crates to write fixtures for; all when none is named
    #[arg(value_name = "CRATE", value_parser = CRATES)]
    crates: Vec<String>,
}

/// Runs the exporters.
pub fn run(options: &Fixtures) -> Result<()> {
    println!("needs a Python with: pip install {PACKAGES}");
    let named = options.crates.iter().map(String::as_str);
    let crates: Vec<&str> = if options.crates.is_empty() {
        CRATES.to_vec()
    } else {
        named.collect()
    };
    let mut failed = Vec::new();
    for name in crates {
        let folder = cargo::root().join(name).join("tests/fixtures");
        println!("{}", folder.join(EXPORTER).display());
        let mut python = Command::new(&options.python);
        if let Err(error) = cargo::run(python.arg(EXPORTER).current_dir(folder)) {
            eprintln!("{error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("no new fixtures for {}", failed.join(", "));
    }
    Ok(())
}
