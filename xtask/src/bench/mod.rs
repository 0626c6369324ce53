//! `cargo xtask bench`: measurements for the model card.

mod attention;
mod ops;
mod overhead;
mod parts;
mod peers;
pub mod process;
mod program;
mod python;
mod refocus;
mod segment;
mod serve;
pub mod statistics;
mod sweep;
mod train_step;
mod web;

use anyhow::Result;
use clap::Subcommand;

/// Measurement to make.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// `anyref segment` as a process, from start to mask; then a second reference in one process.
    Segment(segment::Segment),
    /// One instruction step of nano against the same model in PyTorch.
    TrainStep(train_step::TrainStep),
    /// Fused operations against those they are composed of.
    Ops(ops::Ops),
    /// Burn's own attention on a backend against the model's.
    Attention(attention::Attention),
    /// Whole model with random weights, part by part, against the same modules in PyTorch.
    Parts(parts::Parts),
    /// Models in GGUF files against llama.cpp, encoders against PyTorch, ONNX Runtime and OpenVINO.
    Peers(peers::Peers),
    /// The Python package against the command line, on the built-in model.
    Python(overhead::Overhead),
    /// Answers by `anyref serve` against those of an engine in process; the page in a browser.
    Serve(serve::Serve),
    /// Refocusing on a backend, against its composed form and the authors' formulation.
    Refocus(refocus::Refocus),
    /// The page in the browser alone against the same session outside of it.
    Web(web::Web),
}

/// Runs a benchmark.
pub fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Segment(options) => segment::run(options),
        Bench::TrainStep(options) => train_step::run(options),
        Bench::Ops(options) => ops::run(options),
        Bench::Attention(options) => attention::run(options),
        Bench::Parts(options) => parts::run(options),
        Bench::Peers(options) => peers::run(options),
        Bench::Python(options) => overhead::run(options),
        Bench::Serve(options) => serve::run(options),
        Bench::Refocus(options) => refocus::run(options),
        Bench::Web(options) => web::run(options),
    }
}
