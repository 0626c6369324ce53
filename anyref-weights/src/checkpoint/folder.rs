//! Folders in Hugging Face's layout.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// File names of whole models, in the order in which transformers prefers them.
const PREFERRED: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Finds the checkpoint file of a folder, or the index of its shards.
pub(super) fn find(folder: &Path) -> Result<PathBuf> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        names.insert(entry.file_name().to_string_lossy().into_owned());
    }
    if let Some(name) = PREFERRED.iter().find(|name| names.contains(**name)) {
        return Ok(folder.join(name));
    }
    for suffixes in [
        &[".safetensors.index.json"][..],
        &[".safetensors"],
        &[".bin.index.json"],
        &[".bin", ".pth", ".pt"],
    ] {
        let found: Vec<&String> = names
            .iter()
            .filter(|name| suffixes.iter().any(|s| name.ends_with(s)))
            .collect();
        match found[..] {
            [] => continue,
            [name] => return Ok(folder.join(name)),
            _ => {
                return Err(Error::Ambiguous {
                    path: folder.to_path_buf(),
                    candidates: found.into_iter().cloned().collect(),
                });
            }
        }
    }
    Err(Error::NoCheckpoint(folder.to_path_buf()))
}
