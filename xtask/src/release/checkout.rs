//! State of the checkout: a release is made of what is committed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Files named in the message.
const NAMED: usize = 5;

/// Refuses changes that are not committed; a dry run tells of them alone.
pub fn check(root: &Path, dry_run: bool) -> Result<()> {
    let changed = match changes(root) {
        Ok(changed) if changed.is_empty() => return Ok(()),
        Ok(changed) => changed,
        // Copies without their history can be looked through all the same.
        Err(error) if dry_run => {
            println!("note: {error:#}; a release would be refused");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let named: Vec<&str> = changed.iter().take(NAMED).map(String::as_str).collect();
    let more = match changed.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("changes that are not committed: {}{more}", named.join(", "));
    if !dry_run {
        bail!("{message}: commit or remove them first");
    }
    println!("note: {message}; a release would be refused");
    Ok(())
}

/// Paths that differ from the commit, and files that it does not know.
fn changes(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["status", "--porcelain"])
        .current_dir(root)
        .output()
        .context("cannot start git")?;
    ensure!(
        output.status.success(),
        "git status: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let lines = String::from_utf8(output.stdout)?;
    let path = |line: &str| line.get(3..).unwrap_or(line).to_owned();
    Ok(lines.lines().map(path).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn changes_refuse_a_release_but_no_dry_run() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(&folder.path().join("none"), false).is_err());
        check(&folder.path().join("none"), true).unwrap();
        let git = |arguments: &[&str]| {
            let done = Command::new("git")
                .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
                .args(arguments)
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(done.status.success(), "{arguments:?}");
        };
        git(&["init", "-q"]);
        fs::write(folder.path().join("a"), "1").unwrap();
        git(&["add", "a"]);
        git(&["commit", "-q", "-m", "a"]);
        check(folder.path(), false).unwrap();
        for number in 0..7 {
            fs::write(folder.path().join(format!("b{number}")), "2").unwrap();
        }
        let message = check(folder.path(), false).unwrap_err().to_string();
        assert!(
            message.contains("b0, b1") && message.contains("and 2 more"),
            "{message}"
        );
        check(folder.path(), true).unwrap();
    }
}
