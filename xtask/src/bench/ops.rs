//! `cargo xtask bench ops`: the benchmarks among the tests of anyref-weights.

use anyhow::Result;
use clap::Args;

use crate::cargo::{cargo, run as run_command};

/// Options of `bench ops`.
#[derive(Debug, Args)]
pub struct Ops {
    /// Number of threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Runs the benchmarks, which print their own results.
pub fn run(options: &Ops) -> Result<()> {
    run_command(
        cargo()
            .args([
                "test",
                "--release",
                "--package",
                "anyref-weights",
                "--lib",
                "--",
            ])
            .args(["--ignored", "--nocapture", "--test-threads", "1", "bench"])
            .env("RAYON_NUM_THREADS", options.threads.to_string()),
    )
}
