//! Tensors of a GGUF file.

use std::sync::Arc;

use burn::tensor::DType;

use super::super::entry::{Source, Stored, TensorEntry};
use super::super::file::DataFile;
use super::super::overlap::check_overlap;
use super::header::{Header, Info};
use super::tensor_type::TensorType;
use crate::error::{Error, Result};

/// Checks the tensors of the header for consistency, and against the file.
pub(super) fn entries(file: &Arc<DataFile>, header: &Header) -> Result<Vec<TensorEntry>> {
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for info in &header.tensors {
        tensors.push(entry(file, header, info)?);
    }
    check_overlap(file, &tensors)?;
    Ok(tensors)
}

fn entry(file: &Arc<DataFile>, header: &Header, info: &Info) -> Result<TensorEntry> {
    let path = file.path();
    let Info {
        name,
        dims,
        tensor_type,
        offset,
    } = info;
    let Some(bytes) = tensor_type.bytes(dims) else {
        let reason = format!("tensor `{name}` of sizes {dims:?} is no whole {tensor_type:?}");
        return Err(Error::corrupt(path, reason));
    };
    if !offset.is_multiple_of(header.alignment) {
        let reason = format!(
            "tensor `{name}` is at {offset}, no multiple of the alignment {}",
            header.alignment
        );
        return Err(Error::corrupt(path, reason));
    }
    let offset = header.data.saturating_add(*offset);
    file.check(offset, bytes)?;
    let (dtype, blocks) = match *tensor_type {
        TensorType::Plain(dtype) => (dtype, None),
        TensorType::Blocks(block) => (DType::F32, Some(block)),
    };
    // The byte count fits in the file, so every size fits in `usize`, except in tensors without
    // values.
    let sizes = dims.iter().rev().map(|&size| usize::try_from(size).ok());
    let shape = sizes.collect::<Option<Vec<_>>>();
    let shape = shape.filter(|shape| shape.iter().all(|&size| size > 0));
    let Some(shape) = shape else {
        return Err(Error::corrupt(
            path,
            format!("tensor `{name}` has no values"),
        ));
    };
    Ok(TensorEntry {
        name: name.clone(),
        dtype,
        shape,
        source: Source::File(Stored {
            file: file.clone(),
            offset,
            strides: None,
            blocks,
        }),
    })
}
