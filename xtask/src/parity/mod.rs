//! `cargo xtask parity`: the encoders, the mask decoder and the language model against their
//! references, in their published formats, with random weights: error, seconds to load and to
//! compute, and peak memory of both, by processes that take turns.

mod assembled;
mod options;

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bench::process::{Measured, measure};
use crate::bench::statistics;
use crate::cargo::built;

pub use options::Parity;
use options::{ASSEMBLED, PARTS, remove_weights};

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
    let ours = built("parity", &[])?;
    let named: Vec<&str> = options.parts.iter().map(String::as_str).collect();
    println!("| part | error | load, s | | compute, s | | ratio | peak, MB | |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    println!("| | | ours | reference | ours | reference | | ours | reference |");
    for part in PARTS {
        if part == ASSEMBLED || !named.is_empty() && !named.contains(&part) {
            continue;
        }
        let folder = options.out.join(format!("{part}-{size}"));
        measure(options.reference("make", part).arg(&folder))?;
        let times = options.times.to_string();
        for tiles in options.tiles_of(part) {
            let (mut our_side, mut their_side) = (Side::default(), Side::default());
            for _ in 0..options.rounds.max(1) {
                let mut theirs = options.reference("run", part);
                their_side.add(measure(theirs.arg(&folder).arg(&times).args(tiles))?)?;
                let mut ours = Command::new(&ours);
                ours.arg(part).arg(&folder).arg(&times).args(tiles);
                our_side.add(measure(&mut ours)?)?;
            }
            let name = match tiles {
                Some(tiles) => format!("{part}, tiles up to {tiles}"),
                None => part.to_owned(),
            };
            for row in rows(&name, &our_side, &their_side)? {
                println!("{row}");
            }
        }
        remove_weights(&folder)?;
    }
    Ok(())
}

impl Side {
    /// Adds the output of a process.
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

/// Median of the numbers, if there are any.
fn median(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| statistics::median(numbers))
}

/// One row a part; a language model has a second one for its tokens after the prompt, and a part of
/// several outputs one for each.
fn rows(part: &str, ours: &Side, theirs: &Side) -> Result<Vec<String>> {
    let errors = outputs(&ours.values);
    let Some((first, error)) = errors.first() else {
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
    let one = match errors.len() {
        1 => part.to_owned(),
        _ => format!("{part}: {first}"),
    };
    let mut rows = vec![format!(
        "| {one} | {error} | {} | {} | {} | {} | {} |",
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
    let others = errors.iter().skip(1);
    rows.extend(others.map(|(name, error)| format!("| {part}: {name} | {error} | | | | | |")));
    Ok(rows)
}

/// Outputs of a part by name, with the largest difference and the largest value of each.
fn outputs(values: &Value) -> Vec<(&str, String)> {
    let errors = values["errors"].as_array();
    let errors = errors.into_iter().flatten().filter_map(|output| {
        let (name, error, scale) = (&output[0], output[1].as_f64()?, output[2].as_f64()?);
        let scale = if scale < 0.1 {
            format!("{scale:.1e}")
        } else {
            format!("{scale:.1}")
        };
        Some((name.as_str()?, format!("{error:.1e} of {scale}")))
    });
    errors.collect()
}
