//! `anyref eval`: evaluation of a model on a benchmark.

mod options;
mod progress;
mod published;
mod stamps;

use anyhow::{Result, bail};
use anyref_eval::Benchmark;
use burn::tensor::backend::Backend;

use crate::args::{Common, EvalArguments};

/// Runs or resumes an evaluation and prints its table.
pub fn run<B: Backend>(
    common: &Common,
    arguments: &EvalArguments,
    device: &B::Device,
) -> Result<()> {
    if arguments.batch == 0 {
        bail!("--batch is 0: give at least 1");
    }
    options::check(arguments)?;
    if arguments.limit == Some(0) {
        bail!("--limit is 0: give at least 1");
    }
    match arguments.benchmark {
        Benchmark::Stamps => stamps::run::<B>(common, arguments, device),
        _ => published::run::<B>(common, arguments, device),
    }
}
