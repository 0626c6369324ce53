//! `anyref completions`: a script with which a shell completes the command line.

use std::io::{Write, stdout};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Arguments;

/// Prints the script.
pub fn run(shell: Shell) -> Result<()> {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    // Into memory first: the generator panics where a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    stdout()
        .write_all(&script)
        .context("cannot write to standard output")
}
