//! Models that run as they are published.

use super::assembly::Assembly;
use super::parts_file::SHARD;
use crate::companions::Companions;
use crate::official::{Kind, Published};
use crate::{Error, Result};

/// Published models that run without being assembled first.
const FAMILIES: &str = "LISA (LISAForCausalLM); GLaMM (GLaMMForCausalLM); Sa2VA over InternVL (Sa2VAChatModel); LLaVA, which answers in words alone; SAM for points and boxes; AnyRef's own folders; other parts together by a \
                        .json file that names them";

impl Assembly {
    /// Parts of a model in its authors' layout.
    ///
    /// # Errors
    /// When it is no such model.
    pub fn of_published(published: &Published, companions: &Companions) -> Result<Self> {
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
                    llm: published.path.clone(),
                    adapter: None,
                    dtype: None,
                    quantization: None,
                    encoders: Default::default(),
                    seed: 0,
                    max_shard_bytes: SHARD,
                });
            }
            Some(kind) => {
                format!("holds {kind}, which is no model by itself; supported: {FAMILIES}")
            }
            None => format!("is of an unknown family; supported: {FAMILIES}"),
        };
        Err(Error::folder(&published.path, problem))
    }
}
