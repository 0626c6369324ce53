//! Folders as archives.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::run;

/// Packs `folder` as a `.tar.gz` in which it is the one entry.
pub fn pack(folder: &Path, archive: &Path) -> Result<()> {
    let folder = std::path::absolute(folder)?;
    let beside = folder.parent().unwrap_or(&folder);
    let mut tar = Command::new("tar");
    // An archive's name alone, from its folder: some take what is before a colon, as in Windows'
    // paths, for another machine.
    tar.current_dir(archive.parent().unwrap_or(Path::new(".")));
    tar.arg("-czf").arg(archive.file_name().unwrap_or_default());
    tar.arg("-C")
        .arg(beside)
        .arg(folder.file_name().unwrap_or_default());
    run(&mut tar)
}

/// Bytes of all files below a folder.
pub fn bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    let entries = fs::read_dir(folder);
    for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        sum += match path.is_dir() {
            true => bytes(&path)?,
            false => fs::metadata(&path)?.len(),
        };
    }
    Ok(sum)
}

/// Copies a file into a folder under its own name.
pub fn copy_into(file: &Path, folder: &Path) -> Result<()> {
    let name = file.file_name().unwrap_or_default();
    fs::copy(file, folder.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_packed_under_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("one");
        fs::create_dir_all(folder.join("two")).unwrap();
        fs::write(folder.join("a"), [0; 7]).unwrap();
        fs::write(folder.join("two/b"), [0; 5]).unwrap();
        assert_eq!(bytes(&folder).unwrap(), 12);
        copy_into(&folder.join("a"), &folder.join("two")).unwrap();
        assert_eq!(bytes(&folder).unwrap(), 19);
        let archive = scratch.path().join("one.tar.gz");
        pack(&folder, &archive).unwrap();
        let listed = Command::new("tar")
            .arg("-tzf")
            .arg(&archive)
            .output()
            .unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.lines().any(|line| line == "one/two/b"), "{listed}");
    }
}
