//! Shapes of a part's tensors, by our names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyref_weights::{Checkpoint, LoadOptions, renamed_tensors};

use crate::{Error, Result};

/// Shapes by the names that the options give.
pub(super) struct Shapes {
    path: PathBuf,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Shapes {
    pub(super) fn new(checkpoint: &Checkpoint, options: &LoadOptions) -> Result<Self> {
        let renamed = renamed_tensors(checkpoint, options)?;
        Ok(Self {
            path: checkpoint.path().to_path_buf(),
            shapes: renamed
                .into_iter()
                .map(|(name, entry)| (name, entry.shape.clone()))
                .collect(),
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    /// The shape of a tensor of `N` dimensions, none of them 0.
    pub(super) fn get<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let Some(shape) = self.shapes.get(name) else {
            return Err(self.fail(&format!("no tensor for `{name}`; download it again")));
        };
        match <[usize; N]>::try_from(&shape[..]) {
            Ok(shape) if !shape.contains(&0) => Ok(shape),
            _ => Err(self.fail(&format!(
                "the tensor for `{name}` is {shape:?}, not of {N} dimensions above 0"
            ))),
        }
    }

    /// Number of indices after `prefix` in the names: `layers.` of `layers.0.x`, `layers.1.x` gives
    /// 2.
    pub(super) fn count(&self, prefix: &str) -> Result<usize> {
        let numbers = self.shapes.keys().filter_map(|name| {
            let rest = name.strip_prefix(prefix)?;
            rest.split('.').next()?.parse::<usize>().ok()
        });
        match numbers.max() {
            // A number out of line must not make a model of a billion layers.
            Some(last) if last < self.shapes.len() => Ok(last + 1),
            Some(last) => Err(self.fail(&format!("`{prefix}{last}` without those before it"))),
            None => Err(self.fail(&format!("no tensors for `{prefix}0`; download it again"))),
        }
    }

    pub(super) fn fail(&self, problem: &str) -> Error {
        Error::folder(&self.path, problem)
    }
}
