//! `anyref`: point at things in pictures by text, box, picture or sound.

#![recursion_limit = "256"]

mod args;
mod coco;
mod commands;
mod explain;
mod failure;
mod label_cache;
mod lettering;
mod logging;
mod memory;
mod model;
mod nano;
mod output;
mod overlay;
mod pictures;
mod prompt;
mod units;

use std::process::ExitCode;

use anyref_core::allocator::{MiMalloc, keep_freed_memory};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    keep_freed_memory();
    let args::Arguments { common, command } = args::Arguments::parse();
    #[cfg(feature = "serve")]
    match command {
        args::Command::Serve(_) => logging::start_server(common.verbose),
        _ => logging::start(common.verbose),
    }
    #[cfg(not(feature = "serve"))]
    logging::start(common.verbose);
    log::debug!("anyref {} on {}", env!("CARGO_PKG_VERSION"), common.backend);
    failure::guard("anyref", || commands::run(&common, &command))
}
