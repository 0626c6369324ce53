//! The crates as crates.io would take them.

use anyhow::Result;

use super::plan::Plan;
use crate::cargo::{cargo, timed};

/// Packs all crates that are published, in their order, and asks crates.io for what they depend on.
/// Nothing is compiled again: tests compile the same sources.
pub fn check(plan: &Plan<'_>) -> Result<()> {
    let mut publish = cargo();
    publish.args(["publish", "--workspace", "--dry-run", "--no-verify"]);
    publish.args(["--locked", "--quiet"]);
    if plan.options.dry_run {
        publish.arg("--allow-dirty");
    }
    timed(publish.current_dir(&plan.root))
}
