//! `anyref`: point at things in pictures by text, box, picture or sound.

#![recursion_limit = "256"]

mod args;
mod backend;
mod commands;
mod failure;
mod model;
mod output;
mod overlay;
mod prompt;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args::Arguments { common, command } = args::Arguments::parse();
    failure::report(|| commands::run(&common, &command))
}
