//! Development tasks of the AnyRef workspace: `cargo xtask <task>`.

mod bench;
mod cargo;
mod check;
mod circles;
mod data;
#[cfg(unix)]
mod emulated_cuda;
mod features;
mod fixtures;
mod fuzz;
mod package;
mod parity;
mod plot;
mod prose;
mod published;
mod release;
mod stress;
mod train;
mod web;
mod workspace;

use clap::{Parser, Subcommand};

/// Development tasks of AnyRef.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Download data.
    Data {
        #[command(subcommand)]
        what: data::Data,
    },
    /// Train from a configuration; run it again to resume.
    Train(train::Passed),
    /// Train and evaluate variants of a configuration with several seeds; run it again to resume.
    Ablate(train::Passed),
    /// Export a run's newest checkpoint as a model folder.
    Export(train::Passed),
    /// Write the scenes and questions of the demonstration.
    DemoScenes(train::Passed),
    /// Check a data set of your own, line by line.
    CheckData(train::Passed),
    /// Draw a run's curves and validation pictures.
    Plot(plot::Plot),
    /// Measure speed and memory.
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// Compare published parts with their references.
    Parity(parity::Parity),
    /// Ask a published model about a bundled photograph, for people who have its weights.
    CheckPublished(published::CheckPublished),
    /// Check format, lints and documentation.
    Check(check::Check),
    /// Check each crate alone with each of its features.
    CheckFeatures(features::CheckFeatures),
    /// List files that import each other in circles, and crates that import against the order.
    CheckCircles,
    /// Count doc comments that open with a pronoun, and lines of prose that are too long.
    CheckProse(prose::CheckProse),
    /// Write the page with its model as static files, for use without a server.
    Web(web::Web),
    /// Write JavaScript around a WebAssembly module; a part of `web`.
    #[command(hide = true)]
    WebBindings(web::WebBindings),
    /// Make everything that a release on this system consists of, or list it.
    Release(release::Release),
    /// Read mutated files with every parser of the workspace.
    Fuzz(fuzz::Fuzz),
    /// Ask `anyref serve` by many clients, and with garbage in every field.
    Stress(stress::Stress),
    /// Run tests of the backend `cuda` on the processor, without a GPU
    #[cfg(unix)]
    EmulatedCuda(emulated_cuda::EmulatedCuda),
    /// Regenerate the tests' reference numbers.
    Fixtures(fixtures::Fixtures),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Data { what } => data::run(&what),
        Task::Train(passed) => train::run("train", &passed),
        Task::Ablate(passed) => train::run("ablate", &passed),
        Task::Export(passed) => train::run("export", &passed),
        Task::DemoScenes(passed) => train::run("demo-scenes", &passed),
        Task::CheckData(passed) => train::run("check-data", &passed),
        Task::Plot(options) => plot::run(&options),
        Task::Bench { what } => bench::run(&what),
        Task::Parity(options) => parity::run(&options),
        Task::CheckPublished(options) => published::run(&options),
        Task::Check(options) => check::run(&options),
        Task::CheckFeatures(options) => features::run(&options),
        Task::CheckCircles => circles::run(),
        Task::CheckProse(options) => prose::run(&options),
        Task::Web(options) => web::run(&options),
        Task::WebBindings(options) => web::write_bindings(&options),
        Task::Release(options) => release::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Stress(options) => stress::run(&options),
        #[cfg(unix)]
        Task::EmulatedCuda(options) => emulated_cuda::test(&options),
        Task::Fixtures(options) => fixtures::run(&options),
    }
}
