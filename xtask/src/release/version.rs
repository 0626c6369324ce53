//! One version of the whole workspace.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::metadata::metadata;

/// Version of the workspace, which every package has and every dependency on one names.
pub fn check(root: &Path) -> Result<String> {
    agreed(&metadata(root, &["--no-deps"])?)
}

fn agreed(metadata: &Value) -> Result<String> {
    let packages = || metadata["packages"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let first = packages().next().context("a workspace without packages")?;
    let version = text(&first["version"]);
    for package in packages() {
        let name = text(&package["name"]);
        let own = text(&package["version"]);
        ensure!(
            own == version,
            "{name} is {own} and {} is {version}: give all packages version.workspace",
            text(&first["name"])
        );
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let (of, asked) = (text(&dependency["name"]), text(&dependency["req"]));
            let inside = packages().any(|package| text(&package["name"]) == of);
            // Dependencies of tests may go without: they are not published.
            let unversioned = dependency["kind"] == "dev" && asked == "*";
            ensure!(
                !inside || unversioned || asked == format!("^{version}"),
                "{name} asks for {of} {asked}: the workspace's Cargo.toml has to say {version}"
            );
        }
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_packages_have_one_version() {
        let package = |name: &str, version: &str, asked: &str| {
            let dependencies = json!([
                {"name": "a", "req": asked, "kind": null},
                {"name": "serde", "req": "^1", "kind": null},
                {"name": "a", "req": "*", "kind": "dev"},
            ]);
            json!({"name": name, "version": version, "dependencies": dependencies})
        };
        let check = |packages: &[Value]| agreed(&json!({"packages": packages}));
        let a = package("a", "0.2.0", "^0.2.0");
        let found = check(&[a.clone(), package("b", "0.2.0", "^0.2.0")]);
        assert_eq!(found.unwrap(), "0.2.0");
        let other = check(&[a.clone(), package("b", "0.1.0", "^0.2.0")]);
        assert!(other.unwrap_err().to_string().contains("b is 0.1.0"));
        let older = check(&[a, package("b", "0.2.0", "^0.1.0")]);
        assert!(
            older
                .unwrap_err()
                .to_string()
                .contains("b asks for a ^0.1.0")
        );
        assert!(check(&[]).is_err());
    }

    #[test]
    fn the_workspace_agrees() {
        assert_eq!(
            check(&crate::cargo::root()).unwrap(),
            env!("CARGO_PKG_VERSION")
        );
    }
}
