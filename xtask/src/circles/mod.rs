//! `cargo xtask check-circles`: files of a crate that import each other in a circle, and crates
//! that import against the order of crates.

mod arrows;
mod graph;
mod imports;
mod modules;

use std::fmt::Write;

use anyhow::{Result, bail};

use crate::cargo::root;
use crate::workspace;

/// Import that closes a circle and is allowed, because the code reads better with it.
struct Allowed {
    from: &'static str,
    to: &'static str,
    #[expect(dead_code, reason = "read by people")]
    reason: &'static str,
}

/// Imports that may close a circle, by paths from the root of the workspace.
const ALLOWED: &[Allowed] = &[];

/// Prints every circle of files and every dependency between crates against the order.
pub fn run() -> Result<()> {
    let (count, report) = check()?;
    print!("{report}");
    if count > 0 {
        bail!("{count} circles of files or arrows that run backwards");
    }
    println!("no file takes part in a circle of imports, no crate imports against the order");
    Ok(())
}

/// Number of faults in the workspace, and their description.
fn check() -> Result<(usize, String)> {
    let root = root();
    let packages = workspace::packages(&root)?;
    let mut report = String::new();
    let mut count = 0;
    for fault in arrows::backward(&packages) {
        count += 1;
        writeln!(report, "{fault}")?;
    }
    let mut used = vec![false; ALLOWED.len()];
    for package in &packages {
        for entry in &package.roots {
            let tree = modules::Tree::read(entry, &root)?;
            let mut edges = imports::edges(&tree);
            edges.retain(|edge, _| {
                let allowed = ALLOWED.iter().position(|allowed| {
                    allowed.from == tree.files[edge.0].name && allowed.to == tree.files[edge.1].name
                });
                if let Some(index) = allowed {
                    used[index] = true;
                }
                allowed.is_none()
            });
            for circle in graph::circles(&edges) {
                count += 1;
                writeln!(
                    report,
                    "{}: {} files in a circle",
                    package.name,
                    circle.len()
                )?;
                for (edge, names) in &edges {
                    if circle.contains(&edge.0) && circle.contains(&edge.1) {
                        writeln!(
                            report,
                            "  {} -> {}: {}",
                            tree.files[edge.0].name,
                            tree.files[edge.1].name,
                            names.iter().cloned().collect::<Vec<_>>().join(", ")
                        )?;
                    }
                }
            }
        }
    }
    for (allowed, _) in ALLOWED.iter().zip(used).filter(|(_, used)| !used) {
        count += 1;
        writeln!(
            report,
            "{} no longer imports {}: remove it from the list of allowed circles",
            allowed.from, allowed.to
        )?;
    }
    Ok((count, report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_the_workspace_takes_part_in_a_circle() {
        let (count, report) = check().unwrap();
        assert_eq!(count, 0, "{report}");
    }
}
