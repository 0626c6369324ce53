//! `cargo xtask fuzz`: mutated files for the workspace's parsers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::cargo::{built, root, run as run_command};

/// Options of `fuzz`.
#[derive(Debug, Args)]
pub struct Fuzz {
    /// Formats to read [default: all]
    formats: Vec<String>,
    /// Inputs of each format
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    count: u64,
    /// Number of the first input; an input is a function of its number alone
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Folder for the input that fails
    #[arg(long, value_name = "DIR", default_value = "fuzz-failures")]
    keep: PathBuf,
}

/// Reads the inputs, one format after another, and fails at the first that panics, takes memory or
/// time out of proportion to its size, or is refused in more than one line.
pub fn run(options: &Fuzz) -> Result<()> {
    let program = built("fuzz", &[])?;
    let mut command = Command::new(program);
    command.args([options.count, options.first].map(|number| number.to_string()));
    command.arg(&options.keep).args(&options.formats);
    run_command(command.current_dir(root()))
}
