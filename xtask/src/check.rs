//! `cargo xtask check`: format, lints and documentation, with the GPU backends too.

use anyhow::Result;
use clap::Args;

use crate::cargo::{cargo, root, timed};

/// Features whose code is checked in addition. `wgpu`, `metal` and `webgpu` share the code of
/// `vulkan`; they differ in the language of compiled kernels: WGSL for `wgpu` and `webgpu`, MSL for
/// `metal`, SPIR-V for `vulkan`.
const BACKENDS: [&str; 2] = ["vulkan", "cuda"];

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Skip the GPU backends, which take most of the time
    #[arg(long)]
    quick: bool,
}

/// Runs every check; all of them use the release profile and share their builds.
pub fn run(options: &Check) -> Result<()> {
    let at_root = || {
        let mut cargo = cargo();
        cargo.current_dir(root());
        cargo
    };
    timed(at_root().args(["fmt", "--all", "--", "--check"]))?;
    let lints = |features: &[&str]| {
        let mut clippy = at_root();
        clippy
            .args(["clippy", "--release", "--workspace", "--all-targets"])
            .args(features)
            .args(["--", "-D", "warnings"]);
        timed(&mut clippy)
    };
    lints(&[])?;
    timed(
        at_root()
            .args(["doc", "--release", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    if !options.quick {
        for backend in BACKENDS {
            lints(&["--features", backend])?;
        }
    }
    Ok(())
}
