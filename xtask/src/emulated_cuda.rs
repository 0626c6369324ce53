//! `cargo xtask emulated-cuda`: tests of the backend `cuda` on the processor.
//!
//! cubecl calls CUDA's driver and run-time compiler by name. `xtask/cuda-emulation` has libraries
//! of these names, which compile kernels as C++ and run each thread as a fiber.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};
use clap::Args;

use crate::cargo::{cargo, root, run, target, timed};

/// Options of `emulated-cuda`.
#[derive(Debug, Args)]
pub struct EmulatedCuda {
    /// Arguments of `cargo test`, such as `-p anyref-ops --lib cuda::`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub tests: Vec<String>,
}

/// Builds the libraries, and runs the tests with them.
pub fn test(options: &EmulatedCuda) -> Result<()> {
    let folder = target().join("cuda-emulation");
    let kernels = build(&folder)?;
    let variables = [
        ("CUDA_PATH", folder.clone()),
        ("CUDA_EMULATION_KERNELS", kernels),
        ("LD_LIBRARY_PATH", library_path(&folder)?.into()),
    ];
    // For tests alone: build scripts look for a real CUDA.
    let variables = variables.map(|(name, value)| format!("{name}={}", value.display()));
    let runner = std::iter::once("env").chain(variables.iter().map(String::as_str));
    let runner: Vec<_> = runner.map(|part| format!("{part:?}")).collect();
    let runner = format!("target.'cfg(all())'.runner=[{}]", runner.join(", "));
    let mut tests = cargo();
    tests.args(["--config", &runner]);
    // Kernels are described there by much generic code; here nobody waits for the description.
    for setting in ["opt-level=0", "codegen-units=16"] {
        let setting = format!("profile.release.package.anyref-ops.{setting}");
        tests.args(["--config", &setting]);
    }
    tests.args(["test", "--release", "--features", "cuda"]);
    timed(tests.args(&options.tests).current_dir(root()))
}

/// Builds the libraries into `folder`, with the headers of kernels beside them; returns a folder
/// for compiled headers and kernels, which has those of earlier runs with the same headers.
fn build(folder: &Path) -> Result<PathBuf> {
    let source = root().join("xtask/cuda-emulation");
    let include = folder.join("include");
    fs::create_dir_all(&include).with_context(|| format!("cannot create {}", include.display()))?;
    let mut hasher = DefaultHasher::new();
    for entry in fs::read_dir(source.join("include"))? {
        let entry = entry?;
        let content = fs::read(entry.path())?;
        content.hash(&mut hasher);
        fs::write(include.join(entry.file_name()), content)?;
    }
    let kernels = folder.join(format!("kernels-{:x}", hasher.finish()));
    fs::create_dir_all(&kernels)?;
    let mut library = Command::new(env::var_os("CXX").unwrap_or_else(|| "c++".into()));
    library.args([
        "-std=c++20",
        "-fPIC",
        "-O2",
        "-shared",
        "-Wl,-soname,libcuda.so",
    ]);
    library.arg(source.join("driver.cpp")).arg("-o");
    run(library.arg(folder.join("libcuda.so")).arg("-ldl"))
        .context("the emulation needs a compiler for C++20, such as the package g++")?;
    let compiler_of_kernels = folder.join("libnvrtc.so");
    if !compiler_of_kernels.is_symlink() {
        symlink("libcuda.so", &compiler_of_kernels)?;
    }
    Ok(kernels)
}

/// The search path of libraries with `folder` first.
fn library_path(folder: &Path) -> Result<std::ffi::OsString> {
    let others = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let others = env::split_paths(&others).filter(|path| !path.as_os_str().is_empty());
    Ok(env::join_paths(
        std::iter::once(folder.to_owned()).chain(others),
    )?)
}
