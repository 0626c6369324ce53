//! `anyref eval`: how well a model does on a benchmark.

mod published;
mod stamps;

use anyhow::Result;
use burn::tensor::backend::Backend;

use crate::args::{Benchmark, Common, EvalArguments};

/// Runs or continues an evaluation and prints its table.
pub fn run<B: Backend>(
    common: &Common,
    arguments: &EvalArguments,
    device: &B::Device,
) -> Result<()> {
    match arguments.benchmark {
        Benchmark::Stamps => stamps::run::<B>(common, arguments, device),
        _ => published::run::<B>(common, arguments, device),
    }
}
