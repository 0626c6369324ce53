//! Dependency order of the crates.

use crate::workspace::Package;

/// Crates from the bottom to the top: each may import only those of earlier rows.
const ORDER: [&[&str]; 9] = [
    &["anyref-ops"],
    &["anyref-weights"],
    &[
        "anyref-vision",
        "anyref-audio",
        "anyref-llm",
        "anyref-decoder",
    ],
    &["anyref-core"],
    &["anyref-data"],
    &["anyref-eval"],
    &["anyref-train", "anyref-api"],
    &["anyref-server", "anyref-web"],
    &["anyref-cli", "anyref-python", "anyref-bench"],
];
/// Development tasks, which start programs and import no crate of the workspace.
const TASKS: &str = "xtask";

/// Dependencies between crates that violate the order, and crates that have no place in it.
pub fn backward(packages: &[Package]) -> Vec<String> {
    let row = |name: &str| ORDER.iter().position(|row| row.contains(&name));
    let ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut faults = Vec::new();
    for Package {
        name, dependencies, ..
    } in packages
    {
        let Some(at) = row(name).or((name == TASKS).then_some(0)) else {
            faults.push(format!("{name} has no place in the order of the crates"));
            continue;
        };
        for dependency in dependencies.iter().filter(|dependency| ours(dependency)) {
            if row(dependency).is_none_or(|below| below >= at) {
                faults.push(format!(
                    "{name} -> {dependency} runs against the order of the crates"
                ));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            roots: Vec::new(),
            is_library: true,
            features: Vec::new(),
            dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn arrows_run_from_the_program_to_the_operations() {
        let downward = [
            package("anyref-ops", &["burn"]),
            package("anyref-weights", &["anyref-ops"]),
            package("anyref-llm", &["anyref-ops", "anyref-weights"]),
            package("xtask", &["anyhow"]),
        ];
        assert_eq!(backward(&downward), Vec::<String>::new());
        let upward = [
            package("anyref-ops", &["anyref-weights"]),
            package("anyref-weights", &[]),
            package("anyref-llm", &["anyref-vision"]),
            package("anyref-vision", &[]),
            package("anyref-new", &[]),
            package("xtask", &["anyref-ops"]),
        ];
        assert_eq!(
            backward(&upward),
            [
                "anyref-ops -> anyref-weights runs against the order of the crates",
                "anyref-llm -> anyref-vision runs against the order of the crates",
                "anyref-new has no place in the order of the crates",
                "xtask -> anyref-ops runs against the order of the crates",
            ]
        );
    }
}
