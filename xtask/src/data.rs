//! `cargo xtask data`: downloads the pictures and sounds that scenes are made of.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use crate::package;

/// Catalogue of stamps that training uses.
const CATALOGUE: &str = include_str!("../../anyref-data/assets/stamps.json");
const STAMPS: &str = "tuxpaint-stamps-default";
const BACKGROUNDS: &str = "tuxpaint-data";
/// Folder of the files in the packages.
const SHARE: &str = "usr/share/tuxpaint";

/// Data to download.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Tux Paint's stamps and backgrounds, from the Debian packages, without root.
    Stamps(Stamps),
}

/// Options of `data stamps`.
#[derive(Debug, Args)]
pub struct Stamps {
    /// Folder to write `stamps` and `backgrounds` into.
    #[arg(long, default_value = "data")]
    out: PathBuf,
    /// Take the stamps from this unpacked folder instead of downloading them.
    #[arg(long, value_name = "DIR")]
    stamps: Option<PathBuf>,
    /// Take the backgrounds from this unpacked `share/tuxpaint` instead of downloading them.
    #[arg(long, value_name = "DIR")]
    backgrounds: Option<PathBuf>,
}

/// Runs a data task.
pub fn run(data: &Data) -> Result<()> {
    match data {
        Data::Stamps(options) => stamps(options),
    }
}

fn stamps(options: &Stamps) -> Result<()> {
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let stamps = options.out.join("stamps");
    let files = listed_files()?;
    let unpacked = match &options.stamps {
        Some(folder) => folder.clone(),
        None => package::unpack(STAMPS, scratch.path())?
            .join(SHARE)
            .join("stamps"),
    };
    let missing = copy_listed(&unpacked, &stamps, &files)?;
    ensure!(
        missing.len() * 10 < files.len(),
        "{} holds only {} of {} stamps; is it the `stamps` folder of {STAMPS}?",
        unpacked.display(),
        files.len() - missing.len(),
        files.len()
    );
    keep_licence(scratch.path(), STAMPS, &stamps)?;
    println!(
        "{}: {} files",
        stamps.display(),
        files.len() - missing.len()
    );
    for path in &missing {
        println!("  not in this version of the package: {path}");
    }

    let backgrounds = options.out.join("backgrounds");
    let unpacked = match &options.backgrounds {
        Some(folder) => folder.clone(),
        None => match package::unpack(BACKGROUNDS, scratch.path()) {
            Ok(unpacked) => unpacked.join(SHARE),
            // With stamps at hand there may be no apt-get.
            Err(error) if options.stamps.is_some() => {
                println!(
                    "no photographic backgrounds, so that scenes have procedural ones alone: {error:#}; unpack {BACKGROUNDS} \
                     elsewhere and pass its share/tuxpaint by --backgrounds"
                );
                return Ok(());
            }
            Err(error) => return Err(error),
        },
    };
    let count = copy_pictures(&unpacked.join("templates"), &backgrounds)?
        + copy_one(&unpacked.join("starters/reef-back.png"), &backgrounds)?;
    ensure!(
        count > 0,
        "{} holds no background pictures",
        unpacked.display()
    );
    keep_licence(scratch.path(), BACKGROUNDS, &backgrounds)?;
    println!("{}: {count} files", backgrounds.display());
    Ok(())
}

/// Pictures and sounds of the catalogue, relative to the stamps folder.
fn listed_files() -> Result<Vec<String>> {
    let catalogue: serde_json::Value = serde_json::from_str(CATALOGUE)?;
    let Some(stamps) = catalogue["stamps"].as_array() else {
        bail!("the stamp catalogue holds no list of stamps");
    };
    let mut files: Vec<String> = stamps
        .iter()
        .flat_map(|stamp| [&stamp["path"], &stamp["sound"]])
        .filter_map(|path| path.as_str().map(str::to_owned))
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Copies existing files and returns the missing ones.
fn copy_listed(from: &Path, to: &Path, files: &[String]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for file in files {
        let (source, target) = (from.join(file), to.join(file));
        if !source.is_file() {
            missing.push(file.clone());
            continue;
        }
        let folder = target.parent().unwrap_or(to);
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::copy(&source, &target).with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(missing)
}

fn copy_pictures(from: &Path, to: &Path) -> Result<usize> {
    let mut count = 0;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|ext| ext == "jpg" || ext == "png")
        {
            count += copy_one(&path, to)?;
        }
    }
    Ok(count)
}

/// Copies a file if it exists; returns the number of copied files.
fn copy_one(path: &Path, to: &Path) -> Result<usize> {
    let Some(name) = path.file_name().filter(|_| path.is_file()) else {
        return Ok(0);
    };
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    fs::copy(path, to.join(name)).with_context(|| format!("cannot write {name:?}"))?;
    Ok(1)
}

/// Copies the licence of a package beside its files.
fn keep_licence(scratch: &Path, package: &str, to: &Path) -> Result<()> {
    let licence = scratch
        .join(package)
        .join("usr/share/doc")
        .join(package)
        .join("copyright");
    copy_one(&licence, to).map(drop)
}
