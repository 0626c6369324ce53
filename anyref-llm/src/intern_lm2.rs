//! InternLM 2's layout, in which one matrix of a layer holds queries, keys and values.
//!
//! Rows of it are in groups: the heads of queries that share a head of keys, that head, and
//! the head of values (`wqkv` in `modeling_internlm2.py`, `(kv_heads, heads / kv_heads + 2,
//! head_dim)`). All else is a LLaMA by other names, for which
//! [`import::INTERN_LM2`](crate::import::INTERN_LM2) has the rules.

use std::collections::BTreeSet;
use std::ops::Range;

use anyref_weights::{Checkpoint, OutputTensor, TensorEntry};

use crate::config::LlamaConfig;
use crate::error::{Error, Result};

/// Part of a name that only the common matrix and its bias have.
const WQKV: &str = ".attention.wqkv.";

/// Checkpoint of an InternLM 2 with queries, keys and values apart: `attention.wq`, `attention.wk`
/// and `attention.wv`, whose rows are read from the file of the common matrix when they are needed.
/// Other tensors, those of other models included, are as they were.
///
/// # Errors
/// When the config is not [valid](LlamaConfig::validate), or a common matrix has another shape than
/// its heads need.
pub fn intern_lm2_checkpoint(checkpoint: &Checkpoint, config: &LlamaConfig) -> Result<Checkpoint> {
    config.validate()?;
    let groups = Groups::of(config);
    let (mut common, mut apart) = (BTreeSet::new(), Vec::new());
    for entry in checkpoint.tensors() {
        let Some((layer, kind)) = entry.name.split_once(WQKV) else {
            continue;
        };
        groups.check(entry, kind)?;
        for (part, rows) in groups.parts() {
            let name = format!("{layer}.attention.{part}.{kind}");
            apart.push(OutputTensor::of_rows(name, entry, rows));
        }
        common.insert(entry.name.clone());
    }
    let apart = Checkpoint::of_tensors(checkpoint.path(), apart)?;
    let parts = vec![checkpoint.without(&common), apart];
    Ok(Checkpoint::merge(checkpoint.path(), parts)?)
}

/// Groups of heads in the rows of a common matrix.
struct Groups {
    /// Number of groups, each with one head of keys and one of values.
    count: usize,
    /// Heads of queries in a group.
    heads: usize,
    /// Rows of a head.
    width: usize,
    /// Columns.
    hidden: usize,
}

impl Groups {
    fn of(config: &LlamaConfig) -> Self {
        Self {
            count: config.kv_heads(),
            heads: config.num_attention_heads / config.kv_heads(),
            width: config.head_width(),
            hidden: config.hidden_size,
        }
    }

    /// Rows of a group.
    fn size(&self) -> usize {
        (self.heads + 2) * self.width
    }

    /// Rows of queries, keys and values, by their names.
    fn parts(&self) -> [(&'static str, Vec<Range<usize>>); 3] {
        let of = |first: usize, heads: usize| {
            let group = |group: usize| {
                let start = group * self.size() + first * self.width;
                start..start + heads * self.width
            };
            (0..self.count).map(group).collect()
        };
        [
            ("wq", of(0, self.heads)),
            ("wk", of(self.heads, 1)),
            ("wv", of(self.heads + 1, 1)),
        ]
    }

    /// Rejects a matrix or a bias of another shape.
    fn check(&self, entry: &TensorEntry, kind: &str) -> Result<()> {
        let rows = self.count * self.size();
        let expected = match kind {
            "bias" => vec![rows],
            _ => vec![rows, self.hidden],
        };
        if entry.shape == expected {
            return Ok(());
        }
        Err(Error::Layout {
            path: entry.path().to_owned(),
            problem: format!(
                "`{}` is {:?}, not {expected:?} as {} heads in {} groups of width {} need; take weights \
                 and config.json from one model",
                entry.name,
                entry.shape,
                self.count * self.heads,
                self.count,
                self.width
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_taken_apart() {
        let groups = Groups {
            count: 2,
            heads: 3,
            width: 4,
            hidden: 24,
        };
        let [(_, queries), (_, keys), (_, values)] = groups.parts();
        assert_eq!(queries, [0..12, 20..32]);
        assert_eq!(keys, [12..16, 32..36]);
        assert_eq!(values, [16..20, 36..40]);
    }
}
