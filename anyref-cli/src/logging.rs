//! Messages of the libraries, on stderr.

use std::io::Write;

use env_logger::{Builder, DEFAULT_FILTER_ENV};
use log::LevelFilter;

/// Prefix of the targets of AnyRef's crates.
const OURS: &str = "anyref";

/// Target of a server's requests.
#[cfg(feature = "serve")]
const SERVER: &str = "anyref_server";

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

/// Shows warnings of AnyRef's crates and a line for each request of a server, and with `verbose`
/// all their messages, each in the span of its request. `RUST_LOG` overrides the selection as for
/// [`start`].
#[cfg(feature = "serve")]
pub fn start_server(verbose: bool) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let usual = match verbose {
        true => Targets::new().with_target(OURS, LevelFilter::DEBUG),
        false => Targets::new()
            .with_target(OURS, LevelFilter::WARN)
            .with_target(SERVER, LevelFilter::INFO),
    };
    let given = std::env::var(DEFAULT_FILTER_ENV).ok();
    let filter = match given.as_deref().map(str::parse::<Targets>) {
        Some(Ok(filter)) => filter,
        Some(Err(error)) => {
            eprintln!("warning: {DEFAULT_FILTER_ENV} is not understood: {error}");
            usual
        }
        None => usual,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false);
    // A second logger is refused; the first one stays.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init();
}
