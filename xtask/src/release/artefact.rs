//! Artefacts of a release, and their table.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A file or folder of a release.
#[derive(Debug)]
pub struct Artefact {
    name: String,
    /// Remarks for people.
    about: String,
    /// Bytes, of one that is there.
    bytes: Option<u64>,
}

impl Artefact {
    /// A file that is there.
    pub fn made(path: &Path, about: &str) -> Result<Self> {
        let found =
            fs::metadata(path).with_context(|| format!("there is no {}", path.display()))?;
        let name = path.file_name().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            about: about.to_owned(),
            bytes: Some(found.len()),
        })
    }

    /// An artefact that a dry run leaves unmade.
    pub fn planned(name: impl Into<String>, about: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            about: about.into(),
            bytes: None,
        }
    }

    /// Bytes, of one that is there.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }
}

/// Sizes, names and remarks, a line each.
pub fn table(artefacts: &[Artefact]) -> String {
    let width = artefacts.iter().map(|one| one.name.len()).max();
    let width = width.unwrap_or_default();
    let mut table = String::new();
    for Artefact { name, about, bytes } in artefacts {
        let size = match bytes {
            Some(bytes) if *bytes < 100_000 => format!("{:.1} kB", *bytes as f64 / 1e3),
            Some(bytes) => format!("{:.1} MB", *bytes as f64 / 1e6),
            None => "not made".to_owned(),
        };
        let _ = writeln!(table, "{size:>9}  {name:width$}  {about}");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_of_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, vec![0; 2500]).unwrap();
        let artefacts = [
            Artefact::made(&path, "small").unwrap(),
            Artefact::planned("anyref.whl", "by maturin"),
        ];
        assert_eq!(artefacts[0].bytes(), Some(2500));
        assert_eq!(
            table(&artefacts),
            "   2.5 kB  a.txt       small\n not made  anyref.whl  by maturin\n"
        );
        assert!(Artefact::made(&folder.path().join("b"), "").is_err());
    }
}
