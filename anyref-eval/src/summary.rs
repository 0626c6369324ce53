//! Summary of an evaluation in two files: `table.md` for people, `summary.json` for programs.

use std::fs;
use std::io;
use std::path::Path;

use anyref_weights::write_atomic;
use serde::Serialize;
use serde_json::Value;

use super::error::{Error, Result};
use super::throughput::Throughput;

/// Results of an evaluation, for programs.
#[derive(Debug, Clone, Serialize)]
pub struct Summary<'a, S> {
    /// Name of the benchmark.
    pub benchmark: &'a str,
    /// Name of the model.
    pub model: &'a str,
    /// Number of items skipped because a file is missing.
    pub left_out: usize,
    /// Number of questions that the model refused.
    pub refused: usize,
    /// Scores of the answers.
    pub scores: S,
    /// Speed of the evaluation.
    pub throughput: &'a Throughput,
}

/// Writes `summary.json`, and `table` with the throughput as `table.md`. An evaluation with nothing
/// left to ask keeps the throughput written before.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_summary<S: Serialize>(
    out: &Path,
    table: &str,
    summary: &Summary<'_, S>,
) -> Result<()> {
    let file = out.join("summary.json");
    let throughput = match summary.throughput.questions {
        0 => earlier(&file).unwrap_or_default(),
        _ => summary.throughput.clone(),
    };
    let summary = Summary {
        benchmark: summary.benchmark,
        model: summary.model,
        left_out: summary.left_out,
        refused: summary.refused,
        scores: &summary.scores,
        throughput: &throughput,
    };
    let text = serde_json::to_string_pretty(&summary).map_err(io::Error::from);
    write_atomic(&file, text.map_err(Error::write(&file))? + "\n")?;
    let speed = throughput.markdown();
    let speed = speed.map_or(String::new(), |speed| format!("\n{speed}"));
    let file = out.join("table.md");
    let text = format!("{}\n{speed}", table.trim_end());
    Ok(write_atomic(&file, text)?)
}

fn earlier(file: &Path) -> Option<Throughput> {
    let value: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    serde_json::from_value(value["throughput"].clone()).ok()
}
