//! A file that names the parts of a model, which is then put together whenever it is loaded.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use anyref_weights::hub::{HubLocation, local_path, refuse_location};
use serde::{Deserialize, Deserializer};

use super::assembly::Assembly;
use crate::folder::CONFIG_FILE;
use crate::{Error, Result};

/// Name of the parts file in a folder that is given in its place.
pub const PARTS_FILE: &str = "parts.json";
/// Maximum bytes of a file that a parsed [`Assembly`] writes.
pub(super) const SHARD: u64 = 4_000_000_000;

/// The content of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartsFile {
    clip: Option<PathBuf>,
    sam: Option<PathBuf>,
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
    /// Reads the locations of the parts from a JSON file, so that `anyref --model` runs directly
    /// from them:
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
    /// Paths count from the file; `hf://` locations, which whoever wrote the file asked for, are
    /// fetched. `clip` may be left out when the language model is a LLaVA that carries its own,
    /// `sam` when it is a LISA, `adapter` when there is none; `"imagebind": null` is a model that
    /// does not hear. `seed` draws what no part has.
    ///
    /// # Errors
    /// When the file cannot be read or names other things, or a location in it cannot be fetched.
    pub fn read(path: &Path) -> Result<Self> {
        let file = read(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let place = |part: &Path, name| {
            let place = beside(base, part);
            let local = local_path(&place).map_err(Error::from);
            Ok::<_, Error>(local.map_err(Error::of_part(name))?.into_owned())
        };
        let optional = |part: &Option<PathBuf>, name| {
            let part = part.as_deref();
            part.map(|part| place(part, name)).transpose()
        };
        Ok(Self {
            clip: optional(&file.clip, "clip")?,
            sam: optional(&file.sam, "sam")?,
            masks: true,
            imagebind: optional(&file.imagebind, "imagebind")?,
            llm: place(&file.llm, "llm")?,
            adapter: optional(&file.adapter, "adapter")?,
            dtype: None,
            quantization: None,
            encoders: Default::default(),
            seed: file.seed,
            max_shard_bytes: SHARD,
        })
    }
}

fn read(path: &Path) -> Result<PartsFile> {
    refuse_location(path)?;
    let io = |e: std::io::Error| Error::folder(path, format!("{e}; check the path"));
    let json = std::fs::read(path).map_err(io)?;
    serde_json::from_slice(&json).map_err(|e| {
        let problem = format!(
            "names no parts of a model ({e}); it needs `llm` and `imagebind` (null for none), `sam` unless `llm` is a LISA, and may have `clip`, `adapter` and `seed`"
        );
        Error::folder(path, problem)
    })
}

/// Resolves a model named by a user to a path on this machine, of a model folder or a parts file.
/// An `hf://` location is fetched, with the parts beside its parts file; other paths are returned
/// as they are.
///
/// # Errors
/// When the location is malformed or cannot be fetched, or has a damaged parts file.
pub fn resolve_model(argument: &Path) -> Result<Cow<'_, Path>> {
    let local = local_path(argument)?;
    if let Cow::Owned(fetched) = &local
        && let Some(file) = parts_file(fetched)
        && file.is_file()
    {
        let base = match file == *fetched {
            true => argument.parent().unwrap_or(argument),
            false => argument,
        };
        let parts = read(&file)?;
        let optional = [
            (&parts.clip, "clip"),
            (&parts.sam, "sam"),
            (&parts.imagebind, "imagebind"),
            (&parts.adapter, "adapter"),
        ];
        let optional = optional
            .into_iter()
            .filter_map(|(part, name)| Some((part.as_ref()?, name)));
        for (part, name) in [(&parts.llm, "llm")].into_iter().chain(optional) {
            // The part is placed beside the parts file in the cache, as in the repository.
            let part = beside(base, part);
            local_path(&part)
                .map_err(Error::from)
                .map_err(Error::of_part(name))?;
        }
    }
    Ok(local)
}

/// Parts file of a path: the path itself if it is a `.json` file, or the parts file of a folder
/// without a model's config.
pub(crate) fn parts_file(path: &Path) -> Option<Cow<'_, Path>> {
    if path
        .extension()
        .is_some_and(|extension| extension == "json")
        && !path.is_dir()
    {
        return Some(path.into());
    }
    let named = path.join(PARTS_FILE).is_file() && !path.join(CONFIG_FILE).is_file();
    named.then(|| path.join(PARTS_FILE).into())
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
