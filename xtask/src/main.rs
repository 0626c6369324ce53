//! Development tasks of the AnyRef workspace: `cargo xtask <task>`.

mod data;
mod package;

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
    /// Fetch data.
    Data {
        #[command(subcommand)]
        what: data::Data,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Data { what } => data::run(&what),
    }
}
