//! JavaScript around the module. The library of wasm-bindgen takes long to compile and is rarely
//! needed, so it is behind the feature `web`, with which this task restarts itself.

use std::path::Path;

use anyhow::Result;

/// Writes the module with its JavaScript into a folder, under a name.
#[cfg(feature = "web")]
pub fn write(module: &Path, out: &Path, name: &str, names: bool) -> Result<()> {
    use wasm_bindgen_cli_support::Bindgen;

    Bindgen::new()
        .input_path(module)
        .out_name(name)
        .web(true)?
        .typescript(false)
        .remove_name_section(!names)
        .remove_producers_section(true)
        .generate(out)
}

/// Writes the module with its JavaScript into a folder, by restarting the task with the feature.
#[cfg(not(feature = "web"))]
pub fn write(module: &Path, out: &Path, name: &str, names: bool) -> Result<()> {
    let mut again = crate::cargo::cargo();
    again.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "xtask",
        "--features",
        "web",
        "--",
    ]);
    again.arg("web-bindings").arg(module).arg(out).arg(name);
    if names {
        again.arg("--names");
    }
    // Paths may be relative to the working directory of the task.
    crate::cargo::timed(&mut again)
}
