//! Pictures that `--image` names: files, folders and patterns.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::ImageFormat;

use crate::output::located;

/// Single picture that is named by its file; `None` for several, a folder or a pattern.
pub fn single(given: &[PathBuf]) -> Option<&Path> {
    match given {
        [path] if !path.is_dir() && pattern(path).is_none() => Some(path),
        _ => None,
    }
}

/// Files of all pictures, in the order given, each once. A folder stands for the pictures directly
/// in it, a pattern (`*`, `?`, `[abc]`, `**`) for the files that match, both in the order of their
/// names.
///
/// # Errors
/// When a folder or a pattern has no picture, or cannot be read.
pub fn find(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in given {
        match pattern(path) {
            _ if path.is_dir() => found.extend(in_folder(path)?),
            Some(pattern) => found.extend(matches(pattern)?),
            None => found.push(path.clone()),
        }
    }
    let mut seen = HashSet::new();
    found.retain(|path| seen.insert(located(path)));
    Ok(found)
}

/// Pattern, unless a file has that name.
fn pattern(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    (text.contains(['*', '?', '[']) && !path.exists()).then_some(text)
}

fn matches(pattern: &str) -> Result<Vec<PathBuf>> {
    let paths = glob::glob(pattern)
        .with_context(|| format!("--image {pattern:?} is no pattern of file names"))?;
    let mut found = Vec::new();
    for path in paths {
        let path = path.with_context(|| format!("cannot read what {pattern} matches"))?;
        if !path.is_dir() {
            found.push(path);
        }
    }
    match found.is_empty() {
        true => bail!("--image {pattern}: no file matches, check the folder and the pattern"),
        false => Ok(found),
    }
}

/// Files in a folder whose extensions are those of pictures.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot_read = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        let readable = ImageFormat::from_path(&path).is_ok_and(|format| format.reading_enabled());
        if readable && !path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    match found.is_empty() {
        true => bail!(
            "{}: there are no pictures in this folder, give one with .jpg, .png or the like",
            folder.display()
        ),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_patterns_become_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["b.jpg", "a.png", "c.txt", "d.JPG", "[e].png"] {
            fs::write(at(name), "").unwrap();
        }
        fs::create_dir(at("f.jpg")).unwrap();
        let names = |given: &[&str]| {
            let given: Vec<PathBuf> = given.iter().map(|name| at(name)).collect();
            let found = find(&given).unwrap().into_iter();
            let names = found.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&["b.jpg", "c.txt"]), ["b.jpg", "c.txt"]);
        assert_eq!(names(&[""]), ["[e].png", "a.png", "b.jpg", "d.JPG"]);
        assert_eq!(names(&["*.jpg"]), ["b.jpg"]);
        assert_eq!(names(&["d.JPG", "*.?pg", "./b.jpg"]), ["d.JPG", "b.jpg"]);
        // An existing file is not read as a pattern.
        assert_eq!(names(&["[e].png"]), ["[e].png"]);
        for (given, word) in [
            ("*.gif", "no file matches"),
            ("f.jpg", "no pictures"),
            ("***", "no pattern"),
        ] {
            let error = find(&[at(given)]).unwrap_err();
            assert!(format!("{error:#}").contains(word), "{error:#}");
        }
        let single = |given: &[&str]| {
            let given: Vec<PathBuf> = given.iter().map(|name| at(name)).collect();
            super::single(&given).is_some()
        };
        assert!(single(&["b.jpg"]) && single(&["none.jpg"]) && single(&["[e].png"]));
        assert!(!single(&[""]) && !single(&["*.jpg"]) && !single(&["b.jpg", "a.png"]));
    }
}
