//! PyTorch's own files.
use super::TensorEntry;
use super::file::DataFile;
use crate::error::{Error, Result};
use std::sync::Arc;

pub(super) fn open_zip(file: &Arc<DataFile>) -> Result<Vec<TensorEntry>> {
    Err(Error::unsupported(
        file.path(),
        "a PyTorch file",
        "convert it to safetensors",
    ))
}

pub(super) fn open_legacy(file: &Arc<DataFile>) -> Result<Vec<TensorEntry>> {
    open_zip(file)
}
