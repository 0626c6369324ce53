//! Opening of a file, an index with its shards, or a folder.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::TensorEntry;
use super::file::DataFile;
use super::format::{self, Format};
use super::{Checkpoint, GgufMetadata, folder, gguf, index, safetensors, torch};
use crate::error::{Error, Result};
use crate::hub::refuse_location;

impl Checkpoint {
    /// Opens a `.safetensors` file, a PyTorch file (`.pt`, `.pth`, `.bin`), a GGUF file with the
    /// other parts of its model, a `*.index.json` file of shards, or a folder with one of them in
    /// Hugging Face's layout.
    ///
    /// The format is detected from the content, not from the name. Names in a nested PyTorch
    /// dictionary are joined with dots (`state_dict.layer.weight`).
    ///
    /// # Errors
    /// When a file is missing, unreadable, damaged, or of an unsupported format or type; when a
    /// folder has no checkpoint or several; when shards and index disagree or a tensor is
    /// duplicated; when the path is a location of the hub, which
    /// [`local_path`](crate::hub::local_path) must resolve first.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        refuse_location(path)?;
        let meta = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if meta.is_dir() {
            return Self::open(folder::find(path)?);
        }
        if path.to_string_lossy().ends_with(".index.json") {
            return Self::open_index(path);
        }
        Self::open_file(path)
    }

    /// Opens a GGUF file with the other parts of its model, and its metadata, for which the header
    /// is read once.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when the file is not a GGUF file.
    pub fn open_gguf(path: impl AsRef<Path>) -> Result<(Self, GgufMetadata)> {
        let path = path.as_ref();
        refuse_location(path)?;
        let part = gguf::open(&Arc::new(DataFile::open(path)?))?;
        let (tensors, metadata) = gguf::with_parts(path, part)?;
        Ok((Self::new(path.into(), tensors, BTreeMap::new())?, metadata))
    }

    /// Opens the content of one file, such as weights built into a program. `name` stands for the
    /// path in errors.
    ///
    /// # Errors
    /// When the content is empty, damaged, or of an unsupported format or type.
    pub fn from_bytes(
        name: impl Into<PathBuf>,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> Result<Self> {
        Self::from_file(DataFile::from_bytes(name.into(), bytes.into())?)
    }

    /// Opens one file with tensors.
    fn open_file(path: &Path) -> Result<Self> {
        Self::from_file(DataFile::open(path)?)
    }

    fn from_file(file: DataFile) -> Result<Self> {
        let file = Arc::new(file);
        let path = file.path().to_path_buf();
        let (tensors, metadata) = match format::detect(&file)? {
            Format::Safetensors => safetensors::open(&file)?,
            Format::TorchZip => (torch::open_zip(&file)?, BTreeMap::new()),
            Format::TorchLegacy => (torch::open_legacy(&file)?, BTreeMap::new()),
            Format::Gguf => {
                let part = gguf::open(&file)?;
                (gguf::with_parts(&path, part)?.0, BTreeMap::new())
            }
        };
        Self::new(path, tensors, metadata)
    }

    /// Opens the shards of an index.
    fn open_index(path: &Path) -> Result<Self> {
        let placed = index::read(path)?;
        let shards: BTreeSet<&str> = placed.values().map(String::as_str).collect();
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut tensors: BTreeMap<String, (&str, TensorEntry)> = BTreeMap::new();
        let mut metadata = BTreeMap::new();
        for shard in shards {
            let part = match Self::open_file(&folder.join(shard)) {
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
        index::compare(path, &placed, &tensors)?;
        Self::new(
            path.to_path_buf(),
            tensors.into_values().map(|(_, t)| t).collect(),
            metadata,
        )
    }
}
