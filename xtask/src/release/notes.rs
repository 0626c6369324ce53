//! Release notes: the changelog's section of a version.

use anyhow::{Context, Result, ensure};

/// Heading of what is not released yet.
const UNRELEASED: &str = "Unreleased";

/// Text of the section of `version`; in a dry run that of what is not released yet, where the
/// version has none.
pub fn section(changelog: &str, version: &str, dry_run: bool) -> Result<String> {
    let found = match below(changelog, version) {
        None if dry_run => below(changelog, UNRELEASED),
        found => found,
    };
    let text = found.with_context(|| {
        format!("CHANGELOG.md has no `## {version}`: rename `## {UNRELEASED}`, with the date")
    })?;
    ensure!(
        !text.is_empty(),
        "CHANGELOG.md says nothing about {version}"
    );
    Ok(text + "\n")
}

/// Lines below the second heading that begins with `name`, up to the next one.
fn below(changelog: &str, name: &str) -> Option<String> {
    let heading = |line: &str| {
        let title = line.strip_prefix("## ")?;
        let word = title.split_whitespace().next()?;
        Some(word.trim_matches(['[', ']']).to_owned())
    };
    let mut lines = changelog.lines();
    lines.find(|line| heading(line).as_deref() == Some(name))?;
    let lines: Vec<&str> = lines.take_while(|line| heading(line).is_none()).collect();
    Some(lines.join("\n").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\nWords.\n\n## Unreleased\n\n### Added\n- b\n\n\
        ## [0.2.0] - 2026-11-01\n\n### Added\n- a\n\n### Fixed\n- c\n\n## 0.1.0\n- first\n\n## 0.0.9\n";

    #[test]
    fn a_version_has_its_section() {
        let of = |version: &str, dry_run| section(CHANGELOG, version, dry_run);
        let expected = "### Added\n- a\n\n### Fixed\n- c\n";
        assert_eq!(of("0.2.0", false).unwrap(), expected);
        assert_eq!(of("0.2.0", true).unwrap(), expected);
        assert_eq!(of("0.1.0", false).unwrap(), "- first\n");
        let missing = of("0.3.0", false).unwrap_err().to_string();
        assert!(missing.contains("## 0.3.0"), "{missing}");
        assert_eq!(of("0.3.0", true).unwrap(), "### Added\n- b\n");
        assert!(of("0.0.9", false).is_err());
        assert!(section("# Changelog\n", "0.3.0", true).is_err());
    }
}
