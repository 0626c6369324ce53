//! The program with what belongs to it, as an archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::artefact::Artefact;
use super::plan::Plan;
use super::{folder, glibc, shell_files};
use crate::cargo::{cargo, run, target, timed};

/// Files of the repository that go along.
const BESIDE: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Builds the program and packs it; a dry run packs the one that was built last, if there is one.
pub fn make(plan: &Plan<'_>, licences: &Path, scratch: &Path) -> Result<Vec<Artefact>> {
    let dry_run = plan.options.dry_run;
    let archive = format!("{}.tar.gz", plan.name());
    let build = format!(
        "cargo build --release --locked -p anyref-cli --features {}",
        plan.graphics()
    );
    let built = match dry_run {
        false => self::build(plan)?,
        true => match existing() {
            Some(path) => path,
            None => return Ok(vec![Artefact::planned(archive, format!("by {build}"))]),
        },
    };
    let packed = scratch.join(plan.name());
    fs::create_dir_all(&packed)?;
    let name = built.file_name().unwrap_or_default();
    let program = packed.join(name);
    fs::copy(&built, &program).with_context(|| format!("cannot copy {}", built.display()))?;
    let whole = fs::metadata(&program)?.len();
    strip(&program)?;
    check_version(&program, &plan.version)?;
    shell_files::write(&program, &packed)?;
    for file in BESIDE {
        folder::copy_into(&plan.root.join(file), &packed)?;
    }
    folder::copy_into(licences, &packed)?;

    let mut about = format!("stripped of {:.1} MB", whole as f64 / 1e6);
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        let needed = glibc::needed(&fs::read(&program)?)?;
        let needed = needed.map_or("none".to_owned(), |version| glibc::shown(&version));
        about += &format!("; needs glibc {needed}");
    }
    if dry_run {
        about += &format!("; as it was built last, for a release by {build}");
    }
    let path = plan.out.join(&archive);
    folder::pack(&packed, &path)?;
    let pages = fs::read_dir(packed.join("man/man1"))?.count();
    let with = format!("with completions for 5 shells, {pages} pages of the manual and licences");
    Ok(vec![
        Artefact::made(&program, &about)?,
        Artefact::made(&path, &with)?,
    ])
}

fn build(plan: &Plan<'_>) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "-p", "anyref-cli"]);
    build.args(["--features", plan.graphics()]);
    timed(build.current_dir(&plan.root))?;
    existing().context("cargo built no program")
}

/// The program that was built last.
fn existing() -> Option<PathBuf> {
    let path = target().join("release/anyref");
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    path.is_file().then_some(path)
}

/// Takes the names of functions away, where a compiler keeps them in the program.
fn strip(program: &Path) -> Result<()> {
    match cfg!(windows) {
        true => Ok(()),
        false => run(Command::new("strip").arg(program)),
    }
}

fn check_version(program: &Path, version: &str) -> Result<()> {
    let told = shell_files::output(Command::new(program).arg("--version"))?;
    let told = String::from_utf8_lossy(&told).trim().to_owned();
    ensure!(
        told == format!("anyref {version}"),
        "{} is {told:?} and not {version}: build it again",
        program.display()
    );
    Ok(())
}
