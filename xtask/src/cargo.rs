//! Calls of cargo and other programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Environment variable with a folder of programs built elsewhere, for machines without cargo, such
/// as a GPU's.
const PROGRAMS: &str = "ANYREF_PROGRAMS";

/// Backends by the names of their features, which every crate has.
pub const BACKENDS: [&str; 6] = ["flex", "wgpu", "vulkan", "metal", "webgpu", "cuda"];

/// Command of the cargo that runs this task.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Root folder of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Python reference of a measurement or a comparison.
pub fn script(name: &str) -> PathBuf {
    root().join("anyref-bench/python").join(name)
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed with {status}", shown(command));
    }
    Ok(())
}

/// Runs a program, printing its command first and its time afterwards.
pub fn timed(command: &mut Command) -> Result<()> {
    println!("==> {}", shown(command));
    let start = Instant::now();
    run(command)?;
    println!("    {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The folder that cargo builds in.
pub fn target() -> PathBuf {
    // Joined, a whole path stays as it is.
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(target)
}

/// Builds a program of the workspace and returns its path. All builds use the features of the whole
/// workspace, so that nothing built for the tests or another program is built again; `features` are
/// `package/feature`.
pub fn built(program: &str, features: &[String]) -> Result<PathBuf> {
    if let Some(path) = built_elsewhere(program)? {
        return Ok(path);
    }
    let mut build = cargo();
    build.args(["build", "--release", "--workspace", "--bin", program]);
    if !features.is_empty() {
        build.arg("--features").arg(features.join(","));
    }
    run(build.current_dir(root()))?;
    released(&target(), program)
}

/// Builds a program of a package that is a workspace of its own, for this processor, and returns
/// its path. Its build shares nothing with those of the workspace and has a target folder inside
/// theirs.
pub fn built_apart(folder: &str, program: &str) -> Result<PathBuf> {
    if let Some(path) = built_elsewhere(program)? {
        return Ok(path);
    }
    let target = target().join(program);
    let mut build = cargo();
    build
        .args(["build", "--release", "--locked", "--bin", program])
        .arg("--manifest-path")
        .arg(root().join(folder).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", "-C target-cpu=native")
        // Would come before the other one.
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(build.current_dir(root()))?;
    released(&target, program)
}

/// Program in the folder of programs that were built elsewhere, if there is such a folder.
fn built_elsewhere(program: &str) -> Result<Option<PathBuf>> {
    let Some(programs) = std::env::var_os(PROGRAMS) else {
        return Ok(None);
    };
    let path = executable(Path::new(&programs), program);
    if !path.is_file() {
        bail!(
            "there is no {}: build it, or unset {PROGRAMS}",
            path.display()
        );
    }
    Ok(Some(path))
}

/// Program that cargo has built in a folder.
fn released(target: &Path, program: &str) -> Result<PathBuf> {
    let path = executable(&target.join("release"), program);
    if !path.is_file() {
        bail!("cargo built no {}", path.display());
    }
    Ok(path)
}

/// Path of a program in a folder.
fn executable(folder: &Path, program: &str) -> PathBuf {
    folder
        .join(program)
        .with_extension(std::env::consts::EXE_EXTENSION)
}

/// Command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
