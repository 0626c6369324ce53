//! Tensors by name, from safetensors files, PyTorch files, GGUF files and folders with shards.
//!
//! Opening reads headers only; values are read on request, one tensor at a time. Sizes in a file
//! are checked against its length before they are used, and a pickle is parsed, never executed.

mod entry;
mod entry_blocks;
mod entry_floats;
mod entry_rows;
mod file;
mod folder;
mod format;
mod gguf;
mod index;
mod open;
mod overlap;
mod pickle;
mod safetensors;
mod torch;
mod zip;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::output_tensor::OutputTensor;
use crate::report::nearest;
use entry::Source;
pub use entry::TensorEntry;
pub use entry_blocks::EntryBlocks;
pub use entry_floats::EntryFloats;
pub use gguf::{GgufArray, GgufMetadata, GgufValue};
pub use pickle::read_plain_pickle;
pub(crate) use safetensors::block_key;

/// Opened checkpoint: names, types, shapes and locations of its tensors.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    tensors: Vec<TensorEntry>,
    positions: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    fn new(
        path: PathBuf,
        mut tensors: Vec<TensorEntry>,
        metadata: BTreeMap<String, String>,
    ) -> Result<Self> {
        if tensors.iter().any(|t| t.name.chars().any(char::is_control)) {
            return Err(Error::corrupt(
                &path,
                "a tensor's name has control characters",
            ));
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(Error::DuplicateTensor {
                tensor: pair[0].name.clone(),
                first: pair[0].path().display().to_string(),
                second: pair[1].path().display().to_string(),
            });
        }
        let positions = tensors
            .iter()
            .enumerate()
            .map(|(i, t)| (t.name.clone(), i))
            .collect();
        Ok(Self {
            path,
            tensors,
            positions,
            metadata,
        })
    }

    /// Creates a checkpoint without a file: its tensors are computed when they are read, one at a
    /// time. Errors name it by `path`.
    ///
    /// # Errors
    /// When two tensors share a name, or a name has control characters.
    pub fn of_tensors(path: impl Into<PathBuf>, tensors: Vec<OutputTensor>) -> Result<Self> {
        let path = path.into();
        let shared: Arc<Path> = path.as_path().into();
        let entries = tensors.into_iter().map(|tensor| TensorEntry {
            name: tensor.name.clone(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            source: Source::Made(Arc::new(tensor), shared.clone()),
        });
        Self::new(path, entries.collect(), BTreeMap::new())
    }

    /// Joins checkpoints, such as a base model and a head.
    ///
    /// # Errors
    /// When two of them contain a tensor of the same name.
    pub fn merge(path: impl Into<PathBuf>, parts: Vec<Checkpoint>) -> Result<Self> {
        let mut tensors = Vec::new();
        let mut metadata = BTreeMap::new();
        for part in parts {
            tensors.extend(part.tensors);
            metadata.extend(part.metadata);
        }
        Self::new(path.into(), tensors, metadata)
    }

    /// Copies the checkpoint without the tensors of the given names.
    pub fn without(&self, names: &BTreeSet<String>) -> Self {
        let kept = self.tensors.iter().filter(|t| !names.contains(&t.name));
        let tensors: Vec<_> = kept.cloned().collect();
        let positions = tensors.iter().enumerate();
        Self {
            path: self.path.clone(),
            positions: positions.map(|(i, t)| (t.name.clone(), i)).collect(),
            metadata: self.metadata.clone(),
            tensors,
        }
    }

    /// Path from which the checkpoint was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tensors, sorted by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorEntry> {
        self.tensors.iter()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Returns whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Tensor by name.
    pub fn get(&self, name: &str) -> Option<&TensorEntry> {
        self.positions.get(name).map(|&i| &self.tensors[i])
    }

    /// Returns the tensor of a name.
    ///
    /// # Errors
    /// When there is no tensor of this name; the error suggests the nearest one.
    pub fn require(&self, name: &str) -> Result<&TensorEntry> {
        self.get(name).ok_or_else(|| Error::NoTensor {
            path: self.path.clone(),
            tensor: name.to_string(),
            suggestion: nearest(name, self.tensors.iter().map(|t| t.name.as_str()))
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default(),
        })
    }

    /// Free-form entries of a safetensors header, empty for other formats.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}
