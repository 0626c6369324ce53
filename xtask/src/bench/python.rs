//! Python references of the benchmarks.

use std::path::Path;
use std::process::Command;

/// Call of `python` that runs the script `name` on the device of a backend.
pub fn script(python: &Path, name: &str, backend: &str) -> Command {
    let device = match backend {
        "cuda" => "cuda",
        _ => "cpu",
    };
    let mut command = Command::new(python);
    command.arg(crate::cargo::script(name));
    command.args(["--device", device]);
    command
}
