//! Models that run as they are published.

use std::path::Path;

use anyref_weights::hub::cached_name;

use super::assembly::Assembly;
use super::parts_file::SHARD;
use crate::companions::Companions;
use crate::official::{Kind, Published};
use crate::{Error, Result};

/// Published models that run without being assembled first.
const FAMILIES: &str = "LISA (LISAForCausalLM); GLaMM (GLaMMForCausalLM); Sa2VA over InternVL (Sa2VAChatModel); LLaVA, which answers in words alone; SAM for points and boxes; AnyRef's own folders; other parts together by a \
                        .json file that names them";

impl Assembly {
    /// The parts of a model folder in its authors' layout.
    ///
    /// # Errors
    /// When the folder holds no such model, or a part is missing that no companion brings.
    pub fn of_published(folder: &Path, companions: &Companions) -> Result<Self> {
        refuse_delta(folder)?;
        let published = Published::open(folder)?;
        let problem = match published.kind {
            Some(kind) if kind.is_whole() => {
                return Ok(Self {
                    // A tower of its own is the one that it was trained with.
                    clip: match published.has_tower() || kind == Kind::Sa2va {
                        true => None,
                        false => companions.clip.clone(),
                    },
                    sam: None,
                    masks: !kind.is_llava(),
                    imagebind: None,
                    llm: folder.into(),
                    adapter: None,
                    dtype: None,
                    quantization: None,
                    seed: 0,
                    max_shard_bytes: SHARD,
                });
            }
            Some(kind) => {
                format!("holds {kind}, which is no model by itself; supported: {FAMILIES}")
            }
            None => format!("is of an unknown family; supported: {FAMILIES}"),
        };
        Err(Error::folder(folder, problem))
    }
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
    use std::path::PathBuf;

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
