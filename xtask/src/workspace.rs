//! Packages of the workspace, as `cargo metadata` lists them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::cargo;

/// A package of the workspace.
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// Root files of its library and its programs.
    pub roots: Vec<PathBuf>,
    /// Whether it is a library.
    pub is_library: bool,
    /// Names of its features, except `default`.
    pub features: Vec<String>,
    /// Names of the packages that it depends on, including those of its tests.
    pub dependencies: Vec<String>,
}

/// Packages of the workspace at `root`.
pub fn packages(root: &Path) -> Result<Vec<Package>> {
    let output = cargo()
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root)
        .output()
        .context("cannot start cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    list(&metadata["packages"]).map(package).collect()
}

fn package(package: &Value) -> Result<Package> {
    let is = |target: &Value, kinds: &[&str]| {
        list(&target["kind"]).any(|kind| kind.as_str().is_some_and(|kind| kinds.contains(&kind)))
    };
    let roots = list(&package["targets"])
        .filter(|target| is(target, &["lib", "bin"]))
        .filter_map(|target| Some(PathBuf::from(target["src_path"].as_str()?)))
        .collect();
    let is_library = list(&package["targets"]).any(|target| is(target, &["lib"]));
    let features = package["features"].as_object().into_iter().flatten();
    let features = features
        .map(|(name, _)| name.clone())
        .filter(|name| name != "default")
        .collect();
    let dependencies = list(&package["dependencies"])
        .filter_map(|dependency| Some(dependency["name"].as_str()?.to_owned()))
        .collect();
    Ok(Package {
        name: package["name"]
            .as_str()
            .context("a package without a name")?
            .to_owned(),
        roots,
        is_library,
        features,
        dependencies,
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
