//! `anyref manual`: a page of the system's manual for the program and for each command.

use std::fs;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::args::{Arguments, ManualArguments};

/// Writes the pages.
pub fn run(arguments: &ManualArguments) -> Result<()> {
    let out = &arguments.out;
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    clap_mangen::generate_to(Arguments::command(), out)
        .with_context(|| format!("cannot write into {}", out.display()))
}
