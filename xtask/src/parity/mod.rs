//! `cargo xtask parity`: the encoders and the language model against their references, in the formats they are
//! published in, with random weights: error, seconds to load and to compute, and peak memory of both.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::bench::process::{Measured, measure};
use crate::cargo::{cargo, root, run as finish};

/// The parts, smallest first.
const PARTS: [&str; 5] = ["clip", "sam-b", "imagebind", "sam-h", "llama"];

/// Options of `parity`.
#[derive(Debug, Args)]
pub struct Parity {
    /// Real sizes (up to LLaMA-7B: 14 GB of disk, 24 GiB of memory) instead of tiny ones
    #[arg(long)]
    full: bool,
    /// A Python with torch, transformers and safetensors
    #[arg(long, default_value = "python3", value_name = "PATH")]
    python: PathBuf,
    /// Folder for weights and numbers; each part's weights are removed after it
    #[arg(long, default_value = "runs/parity", value_name = "DIR")]
    out: PathBuf,
    /// Parts to compare; all when none is named
    #[arg(value_name = "PART", value_parser = PARTS)]
    parts: Vec<String>,
}

/// One side of a comparison.
struct Side {
    load: f64,
    compute: f64,
    peak: Option<f64>,
    values: Value,
}

/// Compares one part after another.
pub fn run(options: &Parity) -> Result<()> {
    let size = if options.full { "full" } else { "tiny" };
    let ours = program()?;
    let script = root().join("xtask/src/parity/reference.py");
    let named: Vec<&str> = options.parts.iter().map(String::as_str).collect();
    println!("| part | error | load, s | | compute, s | | peak, MB | |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    println!("| | | ours | reference | ours | reference | ours | reference |");
    for part in PARTS {
        if !named.is_empty() && !named.contains(&part) {
            continue;
        }
        let folder = options.out.join(format!("{part}-{size}"));
        let python = |action: &str| {
            let mut command = Command::new(&options.python);
            command.arg(&script).args([action, part, size]).arg(&folder);
            command
        };
        measure(&mut python("make"))?;
        let theirs = side(measure(&mut python("run"))?)?;
        let ours = side(measure(Command::new(&ours).arg(part).arg(&folder))?)?;
        println!("{}", row(part, &ours, &theirs)?);
        remove_weights(&folder)?;
    }
    Ok(())
}

/// Builds our side.
fn program() -> Result<PathBuf> {
    finish(cargo().current_dir(root()).args([
        "build",
        "--release",
        "--workspace",
        "--example",
        "parity",
    ]))?;
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => PathBuf::from(target),
        None => root().join("target"),
    };
    Ok(target.join("release/examples/parity"))
}

/// Reads what a side printed last.
fn side(measured: Measured) -> Result<Side> {
    let line = measured.output.lines().last().unwrap_or_default();
    let values: Value =
        serde_json::from_str(line).with_context(|| format!("no numbers in {line:?}"))?;
    let seconds = |name: &str| {
        values[name]
            .as_f64()
            .with_context(|| format!("no `{name}` in {line}"))
    };
    Ok(Side {
        load: seconds("load")?,
        compute: seconds("run")?,
        peak: measured.peak,
        values,
    })
}

fn row(part: &str, ours: &Side, theirs: &Side) -> Result<String> {
    let number = |name: &str| ours.values[name].as_f64();
    let (Some(error), Some(scale)) = (number("error"), number("scale")) else {
        bail!("{part}: no error was measured");
    };
    let megabytes =
        |peak: Option<f64>| peak.map_or("?".into(), |bytes| format!("{:.0}", bytes / 1e6));
    Ok(format!(
        "| {part} | {error:.1e} of {scale:.1} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {} |",
        ours.load,
        theirs.load,
        ours.compute,
        theirs.compute,
        megabytes(ours.peak),
        megabytes(theirs.peak)
    ))
}

/// Leaves inputs and outputs, which are small.
fn remove_weights(folder: &Path) -> Result<()> {
    let (whole, file) = (folder.join("part"), folder.join("part.pth"));
    if whole.is_dir() {
        std::fs::remove_dir_all(&whole).with_context(|| whole.display().to_string())?;
    }
    if file.is_file() {
        std::fs::remove_file(&file).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
