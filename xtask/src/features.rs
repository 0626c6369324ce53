//! `cargo xtask check-features`: each crate alone with each of its features.

use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use crate::cargo::{BACKENDS, cargo, root, timed};
use crate::workspace::{self, Package};

/// Backend for features that choose none.
const DEFAULT_BACKEND: &str = "flex";
/// Backends that `--quick` keeps: one for CPUs and one for GPUs.
const QUICK: [&str; 2] = [DEFAULT_BACKEND, "vulkan"];

/// Options of `check-features`.
#[derive(Debug, Args)]
pub struct CheckFeatures {
    /// Check only the libraries, with no features, with flex and with vulkan
    #[arg(long)]
    quick: bool,
}

/// Runs clippy on each crate alone, so that nothing is compiled with features that another crate of
/// the workspace enables; then on the tests of all crates with each GPU backend. Goes on after a
/// failure.
///
/// # Errors
///
/// When a crate does not compile, or has a warning.
pub fn run(options: &CheckFeatures) -> Result<()> {
    let mut failures = Vec::new();
    let mut check = |clippy: &mut Command| {
        if let Err(error) = timed(clippy.current_dir(root())) {
            println!("    {error}");
            failures.push(error.to_string());
        }
    };
    let packages = workspace::packages(&root())?;
    let ours = packages.iter().filter(|package| package.name != "xtask");
    for package in ours {
        for features in sets(package, options.quick) {
            let mut clippy = cargo();
            clippy.args(["clippy", "--quiet", "--release", "-p", &package.name]);
            clippy.arg("--no-default-features");
            if !features.is_empty() {
                clippy.args(["--features", &features]);
            }
            check(clippy.args(["--", "-D", "warnings"]));
        }
    }
    if !options.quick {
        for backend in BACKENDS
            .iter()
            .filter(|backend| **backend != DEFAULT_BACKEND)
        {
            let mut clippy = cargo();
            clippy.args([
                "clippy",
                "--quiet",
                "--release",
                "--workspace",
                "--all-targets",
            ]);
            check(clippy.args(["--features", backend, "--", "-D", "warnings"]));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Sets of features to check a crate with, in the form of cargo's `--features`.
fn sets(package: &Package, quick: bool) -> Vec<String> {
    if quick && !package.is_library {
        return Vec::new();
    }
    let has = |name: &str| package.features.iter().any(|feature| feature == name);
    let mut sets = vec![String::new()];
    for feature in &package.features {
        match BACKENDS.contains(&feature.as_str()) {
            true if quick && !QUICK.contains(&feature.as_str()) => {}
            true => sets.push(feature.clone()),
            false if quick => {}
            false if has(DEFAULT_BACKEND) => sets.push(format!("{DEFAULT_BACKEND},{feature}")),
            false => sets.push(feature.clone()),
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_checked_and_quickly_one_backend_of_each_kind() {
        let package = Package {
            name: "anyref-core".into(),
            roots: Vec::new(),
            is_library: true,
            features: ["cuda", "flex", "hub", "vulkan"].map(String::from).into(),
            dependencies: Vec::new(),
        };
        assert_eq!(
            sets(&package, false),
            ["", "cuda", "flex", "flex,hub", "vulkan"]
        );
        assert_eq!(sets(&package, true), ["", "flex", "vulkan"]);
    }
}
