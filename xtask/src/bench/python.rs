//! Python references of the benchmarks.

use std::path::Path;
use std::process::Command;

use crate::cargo::root;

/// Command by which `python` runs a script of this folder on the device of a backend.
pub fn script(python: &Path, name: &str, backend: &str) -> Command {
    let device = match backend {
        "cuda" => "cuda",
        _ => "cpu",
    };
    let mut command = Command::new(python);
    command.arg(root().join("xtask/src/bench").join(name));
    command.args(["--device", device]);
    command
}
