//! `cargo xtask release`: everything that a release on this system consists of, in one folder.

mod artefact;
mod checkout;
mod crates;
mod folder;
mod glibc;
mod licences;
mod metadata;
mod notes;
mod options;
mod plan;
mod program;
mod shell_files;
mod sums;
mod version;
mod web;
mod wheel;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::cargo::root;
use artefact::{Artefact, table};
pub use options::Release;
use plan::Plan;

/// Makes the release, or lists it.
pub fn run(options: &Release) -> Result<()> {
    let root = root();
    checkout::check(&root, options.dry_run)?;
    let version = version::check(&root)?;
    let changelog = fs::read_to_string(root.join("CHANGELOG.md")).context("CHANGELOG.md")?;
    let notes = notes::section(&changelog, &version, options.dry_run)?;
    let scratch = tempfile::tempdir()?;
    let out = match options.dry_run {
        true => scratch.path().join("out"),
        false => options.out.clone(),
    };
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    ensure!(
        fs::read_dir(&out)?.next().is_none(),
        "{} is not empty: remove it, or give another --out",
        out.display()
    );
    let plan = Plan {
        options,
        target: metadata::host()?,
        root,
        version,
        out,
    };
    println!("anyref {} for {}", plan.version, plan.target);
    let artefacts = make(&plan, &notes, scratch.path())?;
    if !options.no_crates {
        crates::check(&plan)?;
    }
    print!("{}", table(&artefacts));
    if !options.dry_run {
        println!("{}", plan.out.display());
    }
    Ok(())
}

/// Makes every artefact; in a dry run those that take no time.
fn make(plan: &Plan<'_>, notes: &str, scratch: &Path) -> Result<Vec<Artefact>> {
    let written = |name: &str, about: &str, content: &[u8]| {
        let path = plan.out.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Artefact::made(&path, about)
    };
    let licences = licences::text(plan)?;
    let mut artefacts = vec![
        written(
            "RELEASE-NOTES.md",
            "the changelog's section",
            notes.as_bytes(),
        )?,
        written(
            licences::FILE,
            &format!("of {} packages", licences.packages),
            licences.text.as_bytes(),
        )?,
    ];
    let file = plan.out.join(licences::FILE);
    artefacts.extend(program::make(plan, &file, scratch)?);
    artefacts.push(wheel::make(plan, &file)?);
    if !plan.options.no_web {
        artefacts.push(web::make(plan)?);
    }
    let weights = fs::read(plan.root.join("assets/nano/model.safetensors"))?;
    artefacts.push(written(
        "nano.safetensors",
        "nano's weights, which programs from crates.io fetch",
        &weights,
    )?);
    let sums = sums::sums(&plan.out)?;
    artefacts.push(written(sums::FILE, "checksums", sums.as_bytes())?);
    Ok(artefacts)
}
