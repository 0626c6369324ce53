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

use clap::Parser;

/// Tensors are allocated and freed by the megabyte, at the cost of a page fault each time with the
/// system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
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
