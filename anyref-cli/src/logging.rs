//! Messages of the libraries, on stderr.

use std::io::Write;

use env_logger::{Builder, DEFAULT_FILTER_ENV};
use log::LevelFilter;

/// Target of the messages of AnyRef's crates, all of which begin with it.
const OURS: &str = "anyref";

/// Shows warnings of AnyRef's crates, with `verbose` all that they say. The variable `RUST_LOG`
/// chooses otherwise, and among the messages of all crates.
pub fn start(verbose: bool) {
    let mut builder = Builder::new();
    match std::env::var_os(DEFAULT_FILTER_ENV) {
        Some(_) => builder.parse_default_env(),
        None if verbose => builder.filter_module(OURS, LevelFilter::Debug),
        None => builder.filter_module(OURS, LevelFilter::Warn),
    };
    builder.format(|out, record| {
        let level = record.level().as_str().to_lowercase();
        writeln!(out, "{level}: {}", record.args())
    });
    // A second logger is refused; the first one goes on.
    let _ = builder.try_init();
}
