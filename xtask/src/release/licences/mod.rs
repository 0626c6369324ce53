//! Licences of everything that a release's programs were built of.

mod shipped;
mod texts;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::metadata::metadata;
use super::plan::Plan;
use shipped::{Shipped, shipped};
use texts::Texts;

/// Name of the file.
pub const FILE: &str = "THIRD-PARTY-LICENCES.txt";
/// Packages that people get programs of.
const PROGRAMS: [&str; 3] = ["anyref-cli", "anyref-python", "anyref-web"];
const WEB: &str = "wasm32-unknown-unknown";
/// Things of others in the repository itself, with the file that tells their licence.
const CARRIED: [(&str, &str); 2] = [
    ("the font Noto Sans", "anyref-cli/assets/font/OFL.txt"),
    ("the bundled scenes", "assets/demo/LICENSE.md"),
];
const RULE: &str =
    "--------------------------------------------------------------------------------";

/// The file's text, and how many packages it is about.
pub struct Licences {
    pub text: String,
    pub packages: usize,
}

/// Collects the licences of all packages in programs of this system and in the web page.
pub fn text(plan: &Plan<'_>) -> Result<Licences> {
    let graphics = plan.graphics();
    let features = format!("anyref-cli/{graphics},anyref-python/{graphics}");
    let mut packages = BTreeMap::new();
    for arguments in [
        &["--filter-platform", &plan.target, "--features", &features][..],
        &["--filter-platform", WEB],
    ] {
        for package in shipped(&metadata(&plan.root, arguments)?, &PROGRAMS)? {
            packages.insert((package.name.clone(), package.version.clone()), package);
        }
    }
    let packages: Vec<Shipped> = packages.into_values().collect();
    Ok(Licences {
        text: written(&plan.root, &packages)?,
        packages: packages.len(),
    })
}

/// A table of the packages, then every text once, with the packages that it is of.
fn written(root: &Path, packages: &[Shipped]) -> Result<String> {
    let known = Texts::new(root)?;
    let mut out = String::from(
        "AnyRef is licensed under MIT or Apache-2.0. Its programs are built of the packages below,\n\
         each under its own licence; the source of each is on crates.io, as published.\n\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let Shipped {
            name,
            version,
            licence,
            ..
        } = package;
        let _ = writeln!(
            out,
            "{name} {version}: {licence}\n    https://crates.io/crates/{name}/{version}"
        );
        for text in known.of(package)? {
            texts
                .entry(text)
                .or_default()
                .push(format!("{name} {version}"));
        }
    }
    for (thing, file) in CARRIED {
        let text = fs::read_to_string(root.join(file)).with_context(|| file.to_owned())?;
        texts.entry(text).or_default().push(thing.to_owned());
        let _ = writeln!(out, "{thing}: {file}");
    }
    for (text, of) in texts {
        let _ = write!(out, "\n{RULE}\n{}\n\n{}\n", of.join(", "), text.trim_end());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_written_once() {
        let scratch = tempfile::tempdir().unwrap();
        let package = |name: &str, text: &str| {
            let folder = scratch.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("LICENSE"), text).unwrap();
            Shipped {
                name: name.into(),
                version: "1.0.0".into(),
                licence: "MIT".into(),
                folder,
                authors: Vec::new(),
                file: None,
            }
        };
        let packages = [
            package("a", "Text X.\n"),
            package("b", "Text X."),
            package("c", "Text Y."),
        ];
        let text = written(&crate::cargo::root(), &packages).unwrap();
        assert_eq!(text.matches("Text X.").count(), 1);
        assert!(text.contains("a 1.0.0, b 1.0.0\n\nText X.\n"), "{text}");
        assert!(text.contains("https://crates.io/crates/c/1.0.0"));
        assert!(text.contains("SIL OPEN FONT LICENSE"));
    }
}
