//! The wheel, by maturin.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::artefact::Artefact;
use super::folder;
use super::plan::Plan;
use crate::cargo::{target, timed};

/// Bytes that a wheel may have.
const MOST_BYTES: u64 = 45_000_000;
/// Folder whose files go into the wheel.
const PACKAGE: &str = "bindings/python/python/anyref";
/// Glibc that a wheel of zig is held to: RHEL 8's, of 2018.
const ZIG_TAG: &str = "manylinux_2_28";

/// Builds the wheel; a dry run looks for one in the folder of a release or in that of
/// maturin.
pub fn make(plan: &Plan<'_>, licences: &Path) -> Result<Artefact> {
    if plan.options.dry_run {
        let folders = [plan.options.out.clone(), target().join("wheels")];
        let found = folders
            .iter()
            .find_map(|folder| wheel(folder, &plan.version));
        return match found {
            Some(path) => made(&path),
            None => Ok(Artefact::planned(
                format!("anyref-{}-cp39-abi3-*.whl", plan.version),
                format!("by maturin build, with the feature {}", plan.graphics()),
            )),
        };
    }
    let root = &plan.root;
    let texts = [
        licences,
        &root.join("LICENSE-APACHE"),
        &root.join("LICENSE-MIT"),
    ];
    let _guests = Guests::new(&texts, &root.join(PACKAGE))?;
    let mut build = Command::new(&plan.options.python);
    build.args(["-m", "maturin", "build", "--release", "--locked"]);
    build.args(["-m", "bindings/python/Cargo.toml"]);
    build.args(["--features", plan.graphics(), "--compression-level", "9"]);
    if plan.options.zig {
        build.args(["--zig", "--compatibility", ZIG_TAG]);
    }
    // Where the command was started from, not from the root.
    build.arg("--out").arg(std::path::absolute(&plan.out)?);
    timed(build.current_dir(&plan.root)).context("pip install maturin, and ziglang for --zig")?;
    made(&wheel(&plan.out, &plan.version).context("maturin built no wheel")?)
}

/// Files that are in a folder of the repository for a while.
struct Guests(Vec<PathBuf>);

impl Guests {
    /// Copies the files into the folder.
    fn new(files: &[&Path], folder: &Path) -> Result<Self> {
        let mut guests = Self(Vec::new());
        for file in files {
            folder::copy_into(file, folder)?;
            guests
                .0
                .push(folder.join(file.file_name().unwrap_or_default()));
        }
        Ok(guests)
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        for path in &self.0 {
            // What stays is seen as a change of the checkout.
            let _ = fs::remove_file(path);
        }
    }
}

fn made(path: &Path) -> Result<Artefact> {
    let artefact = Artefact::made(path, "for Python 3.9 and newer")?;
    let bytes = artefact.bytes().unwrap_or_default();
    ensure!(
        bytes <= MOST_BYTES,
        "{} has {bytes} bytes, {MOST_BYTES} are allowed",
        path.display()
    );
    Ok(artefact)
}

/// A wheel of this version in a folder.
fn wheel(folder: &Path, version: &str) -> Option<PathBuf> {
    let start = format!("anyref-{version}-");
    let mut paths = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    paths.find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&start) && name.ends_with(".whl")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_leave() {
        let scratch = tempfile::tempdir().unwrap();
        let package = scratch.path().join("package");
        fs::create_dir(&package).unwrap();
        fs::write(package.join("own.py"), "").unwrap();
        let text = scratch.path().join("text");
        fs::write(&text, "text").unwrap();
        let guests = Guests::new(&[&text], &package).unwrap();
        assert_eq!(fs::read_to_string(package.join("text")).unwrap(), "text");
        drop(guests);
        assert!(!package.join("text").exists() && package.join("own.py").exists());
    }

    #[test]
    fn a_wheel_of_the_version_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert!(wheel(folder.path(), "0.1.0").is_none());
        for name in [
            "anyref-0.1.0-cp39-abi3-linux_x86_64.whl",
            "anyref-0.1.0.tar.gz",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = wheel(folder.path(), "0.1.0").unwrap();
        assert!(found.ends_with("anyref-0.1.0-cp39-abi3-linux_x86_64.whl"));
        assert!(wheel(folder.path(), "0.2.0").is_none());
        assert!(made(&found).is_ok());
        fs::File::create(&found)
            .unwrap()
            .set_len(MOST_BYTES + 1)
            .unwrap();
        assert!(made(&found).unwrap_err().to_string().contains("allowed"));
    }
}
