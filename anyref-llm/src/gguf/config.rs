//! Configuration of a model from the metadata of its GGUF file.

use std::path::Path;

use anyref_weights::{Checkpoint, GgufMetadata};

use super::names;
use crate::config::{LlamaConfig, RopeScaling};
use crate::error::{Error, Result};

/// Architecture of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    /// LLaMA: components that are rotated together are in adjacent rows of queries and keys.
    Llama,
    /// Qwen 2: rows in the order of Hugging Face's files.
    Qwen2,
    /// Qwen 3: the same, with norms of queries and keys.
    Qwen3,
}

impl Architecture {
    pub(super) fn read(path: &Path, metadata: &GgufMetadata) -> Result<Self> {
        match metadata.text("general.architecture") {
            Some("llama") => Ok(Self::Llama),
            Some("qwen2") => Ok(Self::Qwen2),
            Some("qwen3") => Ok(Self::Qwen3),
            other => {
                let name = other.unwrap_or("none");
                Err(problem(
                    path,
                    format!("architecture `{name}`; qwen3, llama and qwen2 are supported"),
                ))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }
}

/// Creates an [`Error::Gguf`].
pub(super) fn problem(path: &Path, problem: impl Into<String>) -> Error {
    Error::Gguf {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

impl LlamaConfig {
    /// Reads the configuration of the model in a GGUF file from its metadata and the shapes of its
    /// tensors.
    ///
    /// # Errors
    /// When the architecture is not `llama`, `qwen2` or `qwen3`, a key is missing or of another
    /// type, or the configuration is not supported.
    pub fn from_gguf(metadata: &GgufMetadata, checkpoint: &Checkpoint) -> Result<Self> {
        let path = checkpoint.path();
        let architecture = Architecture::read(path, metadata)?;
        let key = |name: &str| format!("{}.{name}", architecture.name());
        let optional = |name: &str| {
            let value = metadata.integer(&key(name))?;
            usize::try_from(value)
                .ok()
                .filter(|&value| value <= u32::MAX as usize)
        };
        let missing = |name: &str| problem(path, format!("no `{}` in the metadata", key(name)));
        let required = |name: &str| optional(name).ok_or_else(|| missing(name));
        if optional("expert_count").is_some_and(|count| count > 0) {
            return Err(problem(
                path,
                "a mixture of experts, which is not supported",
            ));
        }
        let heads = required("attention.head_count")?;
        let hidden = required("embedding_length")?;
        let width = optional("attention.key_length").or_else(|| hidden.checked_div(heads));
        let turned = optional("rope.dimension_count");
        if turned.is_some() && turned != width {
            return Err(problem(
                path,
                "only part of a head is turned, which is not supported",
            ));
        }
        let values = optional("attention.value_length");
        if values.is_some() && values != width {
            return Err(problem(
                path,
                "keys and values of other widths, which is not supported",
            ));
        }
        let table = checkpoint.require(names::TABLE)?;
        let eps = "attention.layer_norm_rms_epsilon";
        let config = Self {
            vocab_size: table.shape[0],
            hidden_size: hidden,
            intermediate_size: required("feed_forward_length")?,
            num_hidden_layers: required("block_count")?,
            num_attention_heads: heads,
            num_key_value_heads: optional("attention.head_count_kv"),
            head_dim: optional("attention.key_length"),
            max_position_embeddings: required("context_length")?,
            rms_norm_eps: metadata.float(&key(eps)).ok_or_else(|| missing(eps))?,
            rope_theta: metadata.float(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_scaling: scaling(path, metadata, &key)?,
            attention_bias: checkpoint.get("blk.0.attn_output.bias").is_some(),
            qkv_bias: checkpoint.get("blk.0.attn_q.bias").is_some(),
            mlp_bias: checkpoint.get("blk.0.ffn_up.bias").is_some(),
            qk_norm: architecture == Architecture::Qwen3,
            tie_word_embeddings: checkpoint.get(names::HEAD).is_none(),
            ..Self::default()
        };
        if config.num_hidden_layers > checkpoint.len() {
            let layers = config.num_hidden_layers;
            return Err(problem(
                path,
                format!("{layers} layers of {} tensors", checkpoint.len()),
            ));
        }
        config.validate()?;
        Ok(config)
    }
}

fn scaling(
    path: &Path,
    metadata: &GgufMetadata,
    key: &dyn Fn(&str) -> String,
) -> Result<Option<RopeScaling>> {
    let factor = metadata.float(&key("rope.scaling.factor"));
    // Older files have the factor alone.
    let old = metadata.float(&key("rope.scale_linear"));
    match metadata.text(&key("rope.scaling.type")) {
        Some("none") => Ok(None),
        None | Some("linear") => Ok(factor.or(old).map(|factor| RopeScaling {
            rope_type: "linear".into(),
            factor,
            low_freq_factor: None,
            high_freq_factor: None,
            original_max_position_embeddings: None,
            rope_theta: None,
        })),
        Some(other) => {
            let reason = format!("rotary scaling `{other}`; none and linear are supported");
            Err(problem(path, reason))
        }
    }
}
