//! `cargo xtask stress`: `anyref serve` under many clients, and under garbage.

use anyhow::Result;
use clap::Args;

use crate::cargo::{built, cargo, root, timed};

/// Options of `stress`.
#[derive(Debug, Args)]
pub struct Stress {
    /// Clients at once
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Requests of each client
    #[arg(long, default_value_t = 50)]
    requests: usize,
    /// Pictures for the comparison of batches with one question after the other
    #[arg(long, default_value_t = 64)]
    pictures: usize,
    /// Requests with garbage
    #[arg(long, default_value_t = 10_000)]
    garbage: usize,
    /// Number of the first of them; each is a function of its number alone
    #[arg(long, default_value_t = 0, value_name = "N")]
    first: usize,
}

/// Runs the server's tests of load and of garbage at full size, each against a process of its own.
pub fn run(options: &Stress) -> Result<()> {
    let program = built("anyref", &[])?;
    let mut tests = cargo();
    tests.args(["test", "--release", "--workspace"]);
    tests.args(["--test", "many_clients", "--test", "garbage"]);
    tests.args(["--", "--nocapture", "--test-threads", "1"]);
    tests.env("ANYREF", program);
    for (name, number) in [
        ("ANYREF_TEST_CLIENTS", options.clients),
        ("ANYREF_TEST_REQUESTS", options.requests),
        ("ANYREF_TEST_PICTURES", options.pictures),
        ("ANYREF_TEST_GARBAGE", options.garbage),
        ("ANYREF_TEST_FIRST", options.first),
    ] {
        tests.env(name, number.to_string());
    }
    timed(tests.current_dir(root()))
}
