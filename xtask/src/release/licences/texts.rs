//! Texts of licences: those beside a package's sources, and where it has none the usual text.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::shipped::Shipped;

/// Beginnings of the names of such files, in upper case.
const NAMES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];
const MPL: &str = include_str!("texts/MPL-2.0.txt");
/// Without the line that names who grants it.
const BSD: &str = include_str!("texts/BSD-3-Clause.txt");
/// A dedication to the public, which asks for no text.
const CC0: &str = "Dedicated to the public domain by CC0 1.0 Universal,\n\
     https://creativecommons.org/publicdomain/zero/1.0/legalcode";

/// Usual texts.
pub struct Texts {
    apache: String,
    /// MIT's text without the line that names who grants it.
    mit: String,
}

impl Texts {
    /// Texts of the workspace's own licences.
    pub fn new(root: &Path) -> Result<Self> {
        let read =
            |name: &str| fs::read_to_string(root.join(name)).with_context(|| name.to_owned());
        let mit = read("LICENSE-MIT")?;
        let begins = mit
            .find("Permission is hereby")
            .context("LICENSE-MIT is not MIT's")?;
        Ok(Self {
            apache: read("LICENSE-APACHE")?.trim_end().to_owned(),
            mit: mit[begins..].trim_end().to_owned(),
        })
    }

    /// Texts of a package, without the blanks at their ends.
    pub fn of(&self, package: &Shipped) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for file in files(package)? {
            let text = fs::read(&file).with_context(|| file.display().to_string())?;
            texts.push(
                String::from_utf8_lossy(&text)
                    .trim_end()
                    .replace("\r\n", "\n"),
            );
        }
        if texts.is_empty() {
            texts.push(self.usual(package)?);
        }
        Ok(texts)
    }

    /// The usual text of one of the licences that a package may be taken under.
    fn usual(&self, package: &Shipped) -> Result<String> {
        let Shipped {
            name,
            version,
            licence,
            authors,
            ..
        } = package;
        let parts = licence.split(|c: char| c.is_whitespace() || "/()".contains(c));
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        // Of several that all count, each would have to be there.
        let alone = !parts.contains(&"AND") && !parts.contains(&"WITH");
        let offered = |id: &str| alone && parts.contains(&id);
        let holders = match authors.is_empty() {
            true => format!("the authors of {name}"),
            false => authors.join(", "),
        };
        Ok(if offered("Apache-2.0") {
            self.apache.clone()
        } else if offered("MIT") {
            format!("Copyright (c) {holders}\n\n{}", self.mit)
        } else if offered("BSD-3-Clause") {
            format!("Copyright (c) {holders}\n\n{}", BSD.trim_end())
        } else if offered("MPL-2.0") {
            MPL.trim_end().to_owned()
        } else if offered("CC0-1.0") {
            CC0.to_owned()
        } else {
            bail!("{name} {version} comes without the text of {licence}: add that to xtask's texts")
        })
    }
}

/// Files beside a package's sources that tell its licence.
fn files(package: &Shipped) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = package.file.iter().cloned().collect();
    let folder = &package.folder;
    let entries = fs::read_dir(folder);
    for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_uppercase();
        // Sources of such names are none.
        let wanted = NAMES.iter().any(|start| name.starts_with(start)) && !name.ends_with(".RS");
        if wanted && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &Path, licence: &str, authors: &[&str]) -> Shipped {
        Shipped {
            name: "a".into(),
            version: "1.0.0".into(),
            licence: licence.into(),
            folder: folder.into(),
            authors: authors.iter().map(|author| (*author).to_owned()).collect(),
            file: None,
        }
    }

    #[test]
    fn a_package_s_own_texts_come_first() {
        let scratch = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("LICENSE-MIT", "mine\r\n"),
            ("license.md", "other"),
            ("license.rs", "fn main() {}"),
            ("README.md", "words"),
        ] {
            fs::write(scratch.path().join(name), content).unwrap();
        }
        let texts = Texts::new(&crate::cargo::root()).unwrap();
        let found = texts.of(&package(scratch.path(), "MIT", &[])).unwrap();
        assert_eq!(found, ["mine", "other"]);
    }

    #[test]
    fn usual_texts_stand_in() {
        let scratch = tempfile::tempdir().unwrap();
        let texts = Texts::new(&crate::cargo::root()).unwrap();
        let of = |licence: &str, authors: &[&str]| {
            let found = texts.of(&package(scratch.path(), licence, authors));
            found.map(|texts| texts.join("\n"))
        };
        assert!(
            of("MIT OR Apache-2.0", &[])
                .unwrap()
                .contains("Apache License")
        );
        assert!(
            of("MIT/Apache-2.0", &[])
                .unwrap()
                .contains("Apache License")
        );
        let mit = of("MIT", &["Ann <ann@example.org>"]).unwrap();
        assert!(
            mit.starts_with("Copyright (c) Ann <ann@example.org>\n\nPermission"),
            "{mit}"
        );
        assert!(of("MIT", &[]).unwrap().contains("the authors of a"));
        assert!(
            of("MPL-2.0", &[])
                .unwrap()
                .contains("Mozilla Public License")
        );
        assert!(of("CC0-1.0", &[]).unwrap().contains("public domain"));
        for unknown in [
            "ISC",
            "MIT AND BSD-3-Clause",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            let message = of(unknown, &[]).unwrap_err().to_string();
            assert!(
                message.contains("a 1.0.0") && message.contains(unknown),
                "{message}"
            );
        }
    }
}
