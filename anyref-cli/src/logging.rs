//! Messages of the libraries, on stderr.

use std::io::Write;

use env_logger::{Builder, DEFAULT_FILTER_ENV};
use log::LevelFilter;

/// Prefix of the targets of AnyRef's crates.
const OURS: &str = "anyref";

/// Shows warnings of AnyRef's crates, and with `verbose` all their messages. The variable
/// `RUST_LOG` overrides the selection, for the messages of all crates.
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
    // A second logger is refused; the first one stays.
    let _ = builder.try_init();
}
