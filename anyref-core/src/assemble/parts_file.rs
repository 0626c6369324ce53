//! A file that names the parts of a model, which is then put together whenever it is loaded.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use anyref_weights::hub::HubLocation;
use anyref_weights::local_path;
use serde::{Deserialize, Deserializer};

use super::Assembly;
use crate::folder::CONFIG_FILE;
use crate::{Error, Result};

/// The file's name in a folder that is given in its place.
pub const PARTS_FILE: &str = "parts.json";
/// What an [`Assembly`] that was read writes at most into one file, in bytes.
const SHARD: u64 = 4_000_000_000;

/// The content of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartsFile {
    clip: Option<PathBuf>,
    sam: PathBuf,
    #[serde(deserialize_with = "told")]
    imagebind: Option<PathBuf>,
    llm: PathBuf,
    adapter: Option<PathBuf>,
    #[serde(default)]
    seed: u64,
}

/// A field that may be `null` but not left out.
fn told<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Option::deserialize(deserializer)
}

impl Assembly {
    /// Reads where the parts are from a JSON file, so that `anyref --model` runs straight from them:
    ///
    /// ```json
    /// {
    ///   "clip": "clip-vit-large-patch14",
    ///   "sam": "sam_vit_h_4b8939.pth",
    ///   "imagebind": "imagebind_huge.pth",
    ///   "llm": "hf://liuhaotian/LLaVA-Lightning-7B-v1-1",
    ///   "adapter": "my-adapter",
    ///   "seed": 0
    /// }
    /// ```
    ///
    /// Paths count from the file, on this machine or at an `hf://` location. `clip` may be left out when the language
    /// model is a LLaVA that carries its own, `adapter` when there is none; `"imagebind": null` is a model that does
    /// not hear. `seed` draws what no part has.
    ///
    /// # Errors
    /// When the file cannot be read or names other things.
    pub fn read(path: &Path) -> Result<Self> {
        let local = local_path(path)?;
        let io = |e: std::io::Error| Error::folder(path, format!("{e}; check the path"));
        let json = std::fs::read(&local).map_err(io)?;
        let file: PartsFile = serde_json::from_slice(&json).map_err(|e| {
            let problem = format!(
                "names no parts of a model ({e}); it needs `sam`, `llm` and `imagebind` (null for none), and may have `clip`, `adapter` and `seed`"
            );
            Error::folder(path, problem)
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        let place = |part: PathBuf| beside(base, &part);
        Ok(Self {
            clip: file.clip.map(place),
            sam: place(file.sam),
            imagebind: file.imagebind.map(place),
            llm: place(file.llm),
            adapter: file.adapter.map(place),
            dtype: None,
            seed: file.seed,
            max_shard_bytes: SHARD,
        })
    }
}

/// The parts file that a path means: itself, when it is a `.json` file, or that of a folder without a model's config.
pub(crate) fn parts_file(path: &Path) -> Result<Option<Cow<'_, Path>>> {
    if path
        .extension()
        .is_some_and(|extension| extension == "json")
        && !path.is_dir()
    {
        return Ok(Some(path.into()));
    }
    let folder = local_path(path)?;
    let named = folder.join(PARTS_FILE).is_file() && !folder.join(CONFIG_FILE).is_file();
    Ok(named.then(|| path.join(PARTS_FILE).into()))
}

/// A path that counts from a folder, which may be one of the hub.
fn beside(folder: &Path, part: &Path) -> PathBuf {
    if HubLocation::in_path(part).is_some() || part.is_absolute() {
        return part.into();
    }
    // Locations of the hub have no `.` in them.
    let part: PathBuf = part
        .components()
        .filter(|component| *component != Component::CurDir)
        .collect();
    match (folder.as_os_str().is_empty(), part.as_os_str().is_empty()) {
        (true, true) => ".".into(),
        (_, true) => folder.into(),
        (_, false) => folder.join(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_count_from_the_file() {
        for (folder, part, expected) in [
            ("models", "sam.pth", "models/sam.pth"),
            ("models", "./../sam.pth", "models/../sam.pth"),
            ("models", "/weights/sam.pth", "/weights/sam.pth"),
            ("models", "hf://a/b@c/sam.pth", "hf://a/b@c/sam.pth"),
            ("", "sam.pth", "sam.pth"),
            ("", ".", "."),
            ("hf://a/b", "./sam.pth", "hf://a/b/sam.pth"),
            ("hf://a/b", ".", "hf://a/b"),
        ] {
            let found = beside(Path::new(folder), Path::new(part));
            assert_eq!(found.to_str(), Some(expected), "{folder} {part}");
        }
    }
}
