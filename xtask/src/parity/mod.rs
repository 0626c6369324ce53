//! `cargo xtask parity`: the encoders, the mask decoder and the language model against their references, in the
//! formats they are published in, with random weights: error, seconds to load and to compute, and peak memory of
//! both, by processes that take turns.

mod assembled;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::bench;
use crate::bench::process::{Measured, measure};
use crate::cargo::{built_example, root};

/// The parts, smallest first; the last is all of them in one model, which has no reference.
const PARTS: [&str; 9] = [
    "clip",
    "sam-b",
    "mask-decoder",
    "imagebind",
    "sam-h",
    "llama-1b",
    "llama-1b-f32",
    "llama",
    ASSEMBLED,
];
const ASSEMBLED: &str = "anyref-7b";

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
    /// How often each side is started, in turns
    #[arg(long, default_value_t = 1, value_name = "N")]
    rounds: usize,
    /// How often a side computes in each round; the medians of all are compared
    #[arg(long, default_value_t = 1, value_name = "N")]
    times: usize,
    /// Parts to compare; all but anyref-7b when none is named
    #[arg(value_name = "PART", value_parser = PARTS)]
    parts: Vec<String>,
}

/// One side of a comparison, over all rounds.
#[derive(Default)]
struct Side {
    load: Vec<f64>,
    runs: Vec<f64>,
    steps: Vec<f64>,
    peak: Vec<f64>,
    values: Value,
}

/// Compares one part after another.
pub fn run(options: &Parity) -> Result<()> {
    let size = if options.full { "full" } else { "tiny" };
    if options.parts.iter().any(|part| part == ASSEMBLED) {
        if options.parts.len() > 1 || !options.full {
            bail!("{ASSEMBLED} stands alone, with --full");
        }
        return assembled::run(options);
    }
    let ours = built_example("parity", &[])?;
    let named: Vec<&str> = options.parts.iter().map(String::as_str).collect();
    println!("| part | error | load, s | | compute, s | | ratio | peak, MB | |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    println!("| | | ours | reference | ours | reference | | ours | reference |");
    for part in PARTS {
        if part == ASSEMBLED || !named.is_empty() && !named.contains(&part) {
            continue;
        }
        let folder = options.out.join(format!("{part}-{size}"));
        measure(reference(options, "make", part).arg(&folder))?;
        let (mut our_side, mut their_side) = (Side::default(), Side::default());
        let times = options.times.to_string();
        for _ in 0..options.rounds.max(1) {
            let mut theirs = reference(options, "run", part);
            their_side.add(measure(theirs.arg(&folder).arg(&times))?)?;
            let mut ours = Command::new(&ours);
            our_side.add(measure(ours.arg(part).arg(&folder).arg(&times))?)?;
        }
        for row in rows(part, &our_side, &their_side)? {
            println!("{row}");
        }
        remove_weights(&folder)?;
    }
    Ok(())
}

/// The reference's side, up to the folder.
fn reference(options: &Parity, action: &str, part: &str) -> Command {
    let size = if options.full { "full" } else { "tiny" };
    let script = root().join("xtask/src/parity/reference.py");
    let mut command = Command::new(&options.python);
    command.arg(script).args([action, part, size]);
    command
}

impl Side {
    /// Takes in what a process printed last.
    fn add(&mut self, measured: Measured) -> Result<()> {
        let line = measured.output.lines().last().unwrap_or_default();
        let values: Value =
            serde_json::from_str(line).with_context(|| format!("no numbers in {line:?}"))?;
        let list = |name: &str| -> Vec<f64> {
            let list = values[name].as_array();
            list.into_iter()
                .flatten()
                .filter_map(Value::as_f64)
                .collect()
        };
        let load = values["load"].as_f64();
        self.load
            .push(load.with_context(|| format!("no `load` in {line}"))?);
        self.runs.extend(list("runs"));
        self.steps.extend(list("steps"));
        self.peak.extend(measured.peak);
        self.values = values;
        Ok(())
    }
}

/// The middle of the numbers, where there are any.
fn median(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| bench::median(numbers))
}

/// One row a part; a language model has a second one for its tokens after the prompt.
fn rows(part: &str, ours: &Side, theirs: &Side) -> Result<Vec<String>> {
    let number = |name: &str| ours.values[name].as_f64();
    let (Some(error), Some(scale)) = (number("error"), number("scale")) else {
        bail!("{part}: no error was measured");
    };
    let text = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "?".into(),
    };
    let megabytes = |side: &Side| text(median(&side.peak).map(|bytes| bytes / 1e6), 0);
    let compared = |ours: &[f64], theirs: &[f64]| {
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
        format!(
            "{} | {} | {}",
            text(ours, 3),
            text(theirs, 3),
            text(ratio, 2)
        )
    };
    let mut rows = vec![format!(
        "| {part} | {error:.1e} of {scale:.1} | {} | {} | {} | {} | {} |",
        text(median(&ours.load), 2),
        text(median(&theirs.load), 2),
        compared(&ours.runs, &theirs.runs),
        megabytes(ours),
        megabytes(theirs)
    )];
    if !ours.steps.is_empty() {
        let steps = compared(&ours.steps, &theirs.steps);
        rows.push(format!("| {part}, each next token | | | | {steps} | | |"));
    }
    Ok(rows)
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
