//! Index of shards in Hugging Face's layout.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::entry::TensorEntry;
use crate::error::{Error, Result};

/// Maximum bytes of an index.
const MAX_INDEX: u64 = 64 << 20;

/// Content of `model.safetensors.index.json`.
#[derive(Debug, Deserialize)]
struct Index {
    weight_map: WeightMap,
}

/// Tensor and shard names in file order, so that duplicate tensors are detected.
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

/// Reads the shard of each tensor.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, String>> {
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
        if let Some(name) = [&tensor, &shard]
            .into_iter()
            .find(|n| n.contains(char::is_control))
        {
            let reason = format!("the name {name:?} has control characters");
            return Err(Error::corrupt(path, reason));
        }
        // A shard outside the folder would let an index read any file of the machine.
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

/// Compares the index with the tensors of the shards.
pub(super) fn compare(
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
