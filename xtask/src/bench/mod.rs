//! `cargo xtask bench`: the numbers of the model card.

mod attention;
mod ops;
mod parts;
pub mod process;
mod program;
mod refocus;
mod segment;
mod sweep;
mod train_step;

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::Subcommand;

use crate::cargo::root;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// `anyref segment` as a process, from start to mask; then a second reference in one process.
    Segment(segment::Segment),
    /// One instruction step of nano against the same model in PyTorch.
    TrainStep(train_step::TrainStep),
    /// The fused operations against those they are composed of.
    Ops(ops::Ops),
    /// Burn's own attention on a backend against the model's.
    Attention(attention::Attention),
    /// A whole model with random weights, part by part, against the same modules in PyTorch.
    Parts(parts::Parts),
    /// Refocusing on a backend, against its composed form and the authors' formulation.
    Refocus(refocus::Refocus),
}

/// Runs a benchmark.
pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Segment(options) => segment::run(options),
        Bench::TrainStep(options) => train_step::run(options),
        Bench::Ops(options) => ops::run(options),
        Bench::Attention(options) => attention::run(options),
        Bench::Parts(options) => parts::run(options),
        Bench::Refocus(options) => refocus::run(options),
    }
}

/// A Python that runs a script of this folder on the device that a backend computes on.
fn python(python: &Path, script: &str, backend: &str) -> Command {
    let device = match backend {
        "cuda" => "cuda",
        _ => "cpu",
    };
    let mut command = Command::new(python);
    command.arg(root().join("xtask/src/bench").join(script));
    command.args(["--device", device]);
    command
}

/// The middle of some values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The largest of some values.
fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
