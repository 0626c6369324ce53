//! A model on this machine, opened as far as its kind is told.

use std::path::{Path, PathBuf};

use anyref_weights::hub::{cached_name, refuse_location};

use crate::assemble::parts_file;
use crate::folder::CONFIG_FILE;
use crate::official::{Kind, Published, is_published};
use crate::{Error, Result};

/// Extensions of files of weights.
const WEIGHTS: [&str; 4] = ["safetensors", "pth", "pt", "bin"];

/// Model on this machine before it is loaded. Names, shapes and positions of a published model's
/// tensors are read once, here; values are not.
#[derive(Debug, Clone)]
pub enum ModelPlace {
    /// Model folder of this project.
    Folder(PathBuf),
    /// File that names published parts.
    Parts(PathBuf),
    /// SAM or SAM 2 by itself: a file of weights, or a folder.
    Sam(Published),
    /// Folder in its authors' layout other than a SAM: a LISA, GLaMM, Sa2VA or LLaVA, or a part
    /// that answers nothing by itself.
    Published(Published),
}

impl ModelPlace {
    /// Opens what is at `path`.
    ///
    /// # Errors
    /// When nothing is there, a published model is damaged or only differences to another's
    /// weights, or the path is a location of the hub, which
    /// [`resolve_model`](crate::resolve_model) resolves first.
    pub fn open(path: &Path) -> Result<Self> {
        refuse_location(path)?;
        if let Some(file) = parts_file(path) {
            return Ok(Self::Parts(file.into_owned()));
        }
        if is_published(path)? {
            let published = Published::open(path)?;
            if is_sam_alone(&published) {
                return Ok(Self::Sam(published));
            }
            refuse_delta(path)?;
            return Ok(Self::Published(published));
        }
        if path.is_dir() {
            // A SAM needs no config.
            let own = path.join(CONFIG_FILE).is_file();
            let sam = (!own).then(|| Published::open(path).ok()).flatten();
            return Ok(match sam.filter(is_sam_alone) {
                Some(sam) => Self::Sam(sam),
                None => Self::Folder(path.into()),
            });
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_file() && extension.is_some_and(|extension| WEIGHTS.contains(&extension)) {
            let published = Published::open(path)?;
            if is_sam_alone(&published) {
                return Ok(Self::Sam(published));
            }
        }
        Err(Error::folder(
            path,
            "no such model folder; give one with config.json, tokenizer.json (or .model) and model.safetensors, or a .json file that names published parts",
        ))
    }

    /// Path of the file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Parts(path) => path,
            Self::Sam(published) | Self::Published(published) => &published.path,
        }
    }
}

/// Returns whether a checkpoint is a SAM or a SAM 2 and nothing else, whose engine does not speak.
fn is_sam_alone(published: &Published) -> bool {
    let is_sam = |kind: Kind| !kind.is_whole() && (kind.has_sam() || kind.is_sam2());
    published.kind.is_some_and(is_sam)
}

/// Refuses weights that have to be added to LLaMA's first, which nothing but their name tells.
fn refuse_delta(folder: &Path) -> Result<()> {
    let last = folder.file_name().map(|name| name.to_string_lossy());
    let name = match cached_name(folder) {
        Some(repository) => repository.to_lowercase(),
        None => last.unwrap_or_default().to_lowercase(),
    };
    if !name.split(['-', '_']).any(|word| word == "delta") {
        return Ok(());
    }
    let problem = "holds differences to LLaMA's weights by its name, which are no model; use the merged weights, such as \
                   hf://xinlai/LISA-7B-v1";
    Err(Error::folder(folder, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_refused_by_name() {
        for (name, refused) in [
            ("LISA-7B-v0-delta", true),
            ("lisa_Delta_7b", true),
            ("LISA-7B-v1", false),
            ("deltaplane", false),
            ("models--xinlai--LISA-7B-delta/snapshots/abc", true),
            ("models--xinlai--LISA-7B-v1/snapshots/delta", false),
        ] {
            let folder = PathBuf::from("models").join(name);
            assert_eq!(refuse_delta(&folder).is_err(), refused, "{name}");
        }
    }
}
