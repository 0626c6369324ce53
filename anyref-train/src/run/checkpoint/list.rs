//! The checkpoints in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::files::POSITION;
use crate::file_error::FileError;

/// Newest complete checkpoint of a run's folder; `None` if there is none.
///
/// # Errors
/// When the folder cannot be read, or a checkpoint in it has no `position.json`.
pub fn newest(folder: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    Ok(if folder.is_dir() {
        list(folder)?.pop()
    } else {
        None
    })
}

/// Complete checkpoints, oldest first.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut found = Vec::new();
    let unread = |source| FileError::of("read", folder)(source);
    for entry in fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("stage-") && !name.ends_with(".partial") && path.is_dir() {
            if !path.join(POSITION).is_file() {
                return Err(CheckpointError::NoPosition { path });
            }
            found.push((place_of(&path), path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Stage and step of a checkpoint, by its name.
pub(super) fn place_of(path: &Path) -> Option<(usize, u64)> {
    let name = path.file_name()?.to_str()?;
    let (stage, step) = name.strip_prefix("stage-")?.split_once("-step-")?;
    Some((stage.parse().ok()?, step.parse().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Empty checkpoints of these names.
    pub(in crate::run::checkpoint) fn made(folder: &Path, names: &[&str]) {
        for name in names {
            fs::create_dir(folder.join(name)).unwrap();
            fs::write(folder.join(name).join(POSITION), "{}").unwrap();
        }
    }

    pub(in crate::run::checkpoint) fn names(folder: &Path) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        list(folder).unwrap().iter().map(name).collect()
    }

    #[test]
    fn stages_and_steps_are_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let order = [
            "stage-0-step-00000020",
            "stage-2-step-00000009",
            "stage-2-step-100000000",
            "stage-10-step-00000001",
        ];
        made(folder, &[order[3], order[1], order[2], order[0]]);
        fs::create_dir(folder.join("stage-11-step-00000001.partial")).unwrap();
        assert_eq!(names(folder), order);
        assert!(newest(folder).unwrap().unwrap().ends_with(order[3]));
    }
}
