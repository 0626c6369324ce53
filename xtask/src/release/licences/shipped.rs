//! Packages that become part of programs: no tests, build scripts or macros.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// A package of others in a program.
#[derive(Debug)]
pub struct Shipped {
    pub name: String,
    pub version: String,
    /// SPDX expression.
    pub licence: String,
    /// Folder of its sources.
    pub folder: PathBuf,
    pub authors: Vec<String>,
    /// File that it names as its licence.
    pub file: Option<PathBuf>,
}

/// Packages of others that the packages named `programs` are built of.
pub fn shipped(metadata: &Value, programs: &[&str]) -> Result<Vec<Shipped>> {
    let packages: BTreeMap<&str, &Value> = list(&metadata["packages"])
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"]["nodes"])
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let program = |package: &&Value| programs.iter().any(|name| package["name"] == *name);
    let mut open: Vec<&str> = packages
        .values()
        .copied()
        .filter(program)
        .filter_map(|package| package["id"].as_str())
        .collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(id) = open.pop() {
        let package = packages.get(id).context("a package without its data")?;
        if is_macro(package) || !seen.insert(id) {
            continue;
        }
        if !package["source"].is_null() {
            found.push(read(package)?);
        }
        let dependencies = list(&nodes.get(id).context("a package without its node")?["deps"]);
        let linked = dependencies
            .filter(|dependency| list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()));
        open.extend(linked.filter_map(|dependency| dependency["pkg"].as_str()));
    }
    Ok(found)
}

/// Tells a package that runs in the compiler alone.
fn is_macro(package: &Value) -> bool {
    list(&package["targets"]).any(|target| list(&target["kind"]).any(|kind| kind == "proc-macro"))
}

fn read(package: &Value) -> Result<Shipped> {
    let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
    let (name, version) = (text("name"), text("version"));
    let manifest = text("manifest_path");
    let folder = Path::new(&manifest).parent().unwrap_or(Path::new(""));
    let file = package["license_file"]
        .as_str()
        .map(|file| folder.join(file));
    let licence = package["license"].as_str().map(str::to_owned);
    let licence = licence.or_else(|| file.is_some().then(|| "its own".to_owned()));
    Ok(Shipped {
        licence: licence.with_context(|| format!("{name} {version} tells no licence"))?,
        folder: folder.to_owned(),
        authors: list(&package["authors"])
            .filter_map(|author| Some(author.as_str()?.to_owned()))
            .collect(),
        name,
        version,
        file,
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn linked_packages_are_followed() {
        let package = |name: &str, source: Option<&str>, kind: &str| {
            json!({
                "id": name, "name": name, "version": "1.0.0", "source": source, "license": "MIT",
                "manifest_path": format!("/{name}/Cargo.toml"), "authors": ["A"],
                "targets": [{"kind": [kind]}],
            })
        };
        let node = |name: &str, on: &[(&str, Option<&str>)]| {
            let on = on
                .iter()
                .map(|(name, kind)| json!({"pkg": name, "dep_kinds": [{"kind": kind}]}));
            json!({"id": name, "deps": on.collect::<Vec<_>>()})
        };
        let registry = Some("registry");
        let metadata = json!({
            "packages": [
                package("program", None, "bin"), package("inside", None, "lib"),
                package("linked", registry, "lib"), package("below", registry, "lib"),
                package("macros", registry, "proc-macro"), package("syntax", registry, "lib"),
                package("builder", registry, "lib"), package("tester", registry, "lib"),
                package("stranger", registry, "lib"),
            ],
            "resolve": {"nodes": [
                node("program", &[("inside", None), ("tester", Some("dev"))]),
                node("inside", &[("linked", None), ("builder", Some("build")), ("macros", None)]),
                node("linked", &[("below", None), ("linked", None)]),
                node("macros", &[("syntax", None)]),
                node("below", &[]), node("syntax", &[]), node("builder", &[]),
                node("tester", &[]), node("stranger", &[]),
            ]},
        });
        let found = shipped(&metadata, &["program"]).unwrap();
        let mut names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        names.sort();
        assert_eq!(names, ["below", "linked"]);
        assert_eq!(found[0].folder, Path::new("/linked"));

        let silent = json!({"name": "a", "version": "1.0.0", "manifest_path": "/a/Cargo.toml"});
        assert!(read(&silent).unwrap_err().to_string().contains("a 1.0.0"));
    }
}
