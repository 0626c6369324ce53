//! Folders and shard indices in Hugging Face's layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{Checkpoint, TensorEntry};
use crate::error::{Error, Result};

/// File names of whole models, in the order in which transformers prefers them.
const PREFERRED: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Longest index read.
const MAX_INDEX: u64 = 64 << 20;

/// Opens the checkpoint of a folder.
pub(super) fn open(folder: &Path) -> Result<Checkpoint> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        names.insert(entry.file_name().to_string_lossy().into_owned());
    }
    if let Some(name) = PREFERRED.iter().find(|name| names.contains(**name)) {
        return Checkpoint::open(folder.join(name));
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
            [name] => return Checkpoint::open(folder.join(name)),
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

/// `model.safetensors.index.json`.
#[derive(Debug, Deserialize)]
struct Index {
    weight_map: WeightMap,
}

/// Tensor and shard names in file order, so that a tensor named twice is seen.
#[derive(Debug)]
struct WeightMap(Vec<(String, String)>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of tensor and shard names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(WeightMap(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// Opens the shards of an index.
pub(super) fn open_index(path: &Path) -> Result<Checkpoint> {
    let placed = read_index(path)?;
    let shards: BTreeSet<&str> = placed.values().map(String::as_str).collect();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut tensors: BTreeMap<String, (&str, TensorEntry)> = BTreeMap::new();
    let mut metadata = BTreeMap::new();
    for shard in shards {
        let part = match Checkpoint::open_file(&folder.join(shard)) {
            Err(Error::NotFound(_)) => {
                return Err(Error::ShardMissing {
                    index: path.into(),
                    shard: shard.into(),
                });
            }
            other => other?,
        };
        metadata.extend(part.metadata);
        for tensor in part.tensors {
            let name = tensor.name.clone();
            if let Some((first, _)) = tensors.insert(name.clone(), (shard, tensor)) {
                return Err(Error::DuplicateTensor {
                    tensor: name,
                    first: format!("shard `{first}`"),
                    second: format!("shard `{shard}` of {}", path.display()),
                });
            }
        }
    }
    compare(path, &placed, &tensors)?;
    Checkpoint::new(
        path.to_path_buf(),
        tensors.into_values().map(|(_, t)| t).collect(),
        metadata,
    )
}

/// Reads which shard each tensor is in.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    let size = std::fs::metadata(path)
        .map_err(|e| Error::io(path, e))?
        .len();
    if size == 0 {
        return Err(Error::Empty(path.to_path_buf()));
    }
    if size > MAX_INDEX {
        return Err(Error::corrupt(path, format!("an index of {size} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|e| Error::corrupt(path, format!("not a shard index ({e})")))?;
    let mut placed: BTreeMap<String, String> = BTreeMap::new();
    for (tensor, shard) in index.weight_map.0 {
        // A shard outside the folder would make an index read any file of the machine.
        let mut parts = Path::new(&shard).components();
        if !matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        ) {
            let reason = format!("shard `{shard}` is not a file name");
            return Err(Error::corrupt(path, reason));
        }
        if let Some(first) = placed.insert(tensor.clone(), shard.clone()) {
            return Err(Error::DuplicateTensor {
                tensor,
                first: format!("shard `{first}`"),
                second: format!("shard `{shard}` of {}", path.display()),
            });
        }
    }
    Ok(placed)
}

/// Compares what the index says with what the shards have.
fn compare(
    path: &Path,
    placed: &BTreeMap<String, String>,
    tensors: &BTreeMap<String, (&str, TensorEntry)>,
) -> Result<()> {
    let mismatch = |tensor: &str, reason: String| {
        Err(Error::IndexMismatch {
            index: path.into(),
            tensor: tensor.into(),
            reason,
        })
    };
    for (tensor, shard) in placed {
        match tensors.get(tensor) {
            None => return mismatch(tensor, format!("is not in its shard `{shard}`")),
            Some((found, _)) if found != shard => {
                return mismatch(tensor, format!("is in shard `{found}`, not in `{shard}`"));
            }
            Some(_) => {}
        }
    }
    match tensors.iter().find(|(name, _)| !placed.contains_key(*name)) {
        Some((name, (shard, _))) => mismatch(name, format!("of shard `{shard}` is not listed")),
        None => Ok(()),
    }
}
