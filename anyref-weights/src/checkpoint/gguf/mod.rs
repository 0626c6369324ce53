//! GGUF files, versions 2 and 3, as llama.cpp and its tools publish models.
//!
//! Everything in the header is checked against the file's size before it is used. The layout is
//! described in <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod cursor;
mod header;
mod metadata;
mod split;
mod tensor_type;
mod tensors;

use std::path::Path;
use std::sync::Arc;

pub use metadata::{GgufArray, GgufMetadata, GgufValue};

use super::entry::TensorEntry;
use super::file::DataFile;
use crate::error::Result;
use crate::hub::refuse_location;

/// Tensors and metadata of one file of a model.
pub(super) struct Part {
    pub(super) tensors: Vec<TensorEntry>,
    metadata: GgufMetadata,
}

/// Reads the header of one file.
pub(super) fn open(file: &Arc<DataFile>) -> Result<Part> {
    let header = header::read(file)?;
    Ok(Part {
        tensors: tensors::entries(file, &header)?,
        metadata: header.metadata,
    })
}

/// Reads the other files of a split model and joins their tensors; the metadata are those of the
/// first file opened.
pub(super) fn with_parts(path: &Path, part: Part) -> Result<(Vec<TensorEntry>, GgufMetadata)> {
    let Part {
        mut tensors,
        metadata,
    } = part;
    for path in split::others(path, &metadata)? {
        let file = Arc::new(DataFile::open(&path)?);
        tensors.extend(open(&file)?.tensors);
    }
    Ok((tensors, metadata))
}

impl GgufMetadata {
    /// Reads the metadata of a GGUF file.
    ///
    /// # Errors
    /// When the file cannot be read, is not a GGUF file, or is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        refuse_location(path)?;
        Ok(header::read(&DataFile::open(path)?)?.metadata)
    }

    /// Returns whether the file at a path has GGUF's magic number; `false` if it cannot be read.
    pub fn is_gguf(path: impl AsRef<Path>) -> bool {
        let head = DataFile::open(path.as_ref()).and_then(|file| file.read(0, 4));
        head.is_ok_and(|head| head == header::MAGIC)
    }
}
