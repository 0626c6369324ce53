//! `cargo xtask check`: format, lints, documentation, and that the GPU backends compile.

use anyhow::Result;
use clap::Args;

use crate::cargo::{cargo, root, timed};

/// Features whose code no other step compiles.
const BACKENDS: [&str; 2] = ["wgpu", "cuda"];

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Leave the GPU backends out, which takes most of the time
    #[arg(long)]
    quick: bool,
}

/// Runs every check; all of them use the release profile, so that they share what they build.
pub fn run(options: &Check) -> Result<()> {
    let at_root = || {
        let mut cargo = cargo();
        cargo.current_dir(root());
        cargo
    };
    timed(at_root().args(["fmt", "--all", "--", "--check"]))?;
    timed(at_root().args([
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    timed(
        at_root()
            .args(["doc", "--release", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    if !options.quick {
        for backend in BACKENDS {
            timed(at_root().args([
                "check",
                "--release",
                "-p",
                "anyref-cli",
                "--features",
                backend,
            ]))?;
        }
    }
    Ok(())
}
