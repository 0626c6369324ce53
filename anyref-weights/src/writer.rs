//! Writing of tensors as safetensors, one at a time, into one file or into shards with an index.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::DType;
use serde_json::{Map, Value, json};

use crate::atomic_file::{AtomicFile, write_atomic};
use crate::checkpoint::block_key;
use crate::error::{Error, Result};
use crate::output_tensor::OutputTensor;
use crate::safetensors_dtype::dtype_name;
use crate::save_options::SaveOptions;

/// Writes tensors to `path`, a `.safetensors` file, one after another: memory holds the values of
/// one at a time. Uses metadata and shard size of the options.
///
/// Matrices in blocks are written as U8 `[rows, bytes of a row]`, with their GGML format in the
/// metadata under the key `ggml_type.` followed by their name;
/// [`Checkpoint::open`](crate::Checkpoint::open) reads them as blocks again.
///
/// A file appears under its name only when it is complete, and an index after all of its shards.
/// See [`save_module`](crate::save_module) for the names of shards.
///
/// Returns the path to open: `path`, or that of the index.
///
/// # Errors
/// When a tensor cannot be fetched, its type is not supported by the format, a value exceeds half
/// precision, or writing fails.
pub fn write_checkpoint(
    path: impl AsRef<Path>,
    mut tensors: Vec<OutputTensor>,
    options: &SaveOptions,
) -> Result<PathBuf> {
    let path = path.as_ref();
    for tensor in &tensors {
        tensor.check()?;
    }
    // Sorting by element size, largest first, keeps every tensor aligned.
    tensors.sort_by_key(|tensor| {
        let size = tensor.block_type().map_or(tensor.dtype.size(), |_| 1);
        std::cmp::Reverse(size)
    });

    let total: u64 = tensors.iter().map(OutputTensor::bytes).sum();
    match options.max_shard_bytes {
        Some(most) if total > most => write_shards(path, tensors, most, total, options),
        _ => {
            write_file(path, &tensors, &options.metadata)?;
            Ok(path.to_path_buf())
        }
    }
}

/// Writes shards of at most `most` bytes each (a larger tensor gets a shard of its own), then the
/// index.
fn write_shards(
    path: &Path,
    tensors: Vec<OutputTensor>,
    most: u64,
    total: u64,
    options: &SaveOptions,
) -> Result<PathBuf> {
    let mut shards: Vec<Vec<OutputTensor>> = Vec::new();
    let mut size = 0;
    for tensor in tensors {
        let bytes = tensor.bytes();
        if shards.is_empty() || size + bytes > most {
            shards.push(Vec::new());
            size = 0;
        }
        size += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.push(tensor);
        }
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut weight_map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("{stem}-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        write_file(&path.with_file_name(&name), shard, &options.metadata)?;
        weight_map.extend(
            shard
                .iter()
                .map(|tensor| (tensor.name.clone(), name.clone())),
        );
    }
    let index = path.with_file_name(format!("{stem}.safetensors.index.json"));
    let content = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    write_atomic(&index, format!("{content:#}\n"))?;
    Ok(index)
}

/// Writes one safetensors file.
fn write_file(
    path: &Path,
    tensors: &[OutputTensor],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let header = header(tensors, metadata);
    let mut file = AtomicFile::create(path)?;
    let io = |e| Error::io(path, e);
    file.write_all(&(header.len() as u64).to_le_bytes())
        .map_err(io)?;
    file.write_all(&header).map_err(io)?;
    for tensor in tensors {
        file.write_all(tensor.fetch()?.as_bytes()).map_err(io)?;
    }
    file.commit()
}

/// JSON header, padded so that the values start at a multiple of eight.
fn header(tensors: &[OutputTensor], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut entries = Map::new();
    let mut metadata = metadata.clone();
    metadata
        .entry("format".into())
        .or_insert_with(|| "pt".into());
    for tensor in tensors {
        if let Some(block) = tensor.block_type() {
            metadata.insert(block_key(&tensor.name), block.name().into());
        }
    }
    entries.insert("__metadata__".into(), json!(metadata));
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.bytes();
        let (dtype, shape) = match tensor.block_type() {
            None => (dtype_name(tensor.dtype), tensor.shape.clone()),
            Some(_) => {
                let rows = tensor.shape[0];
                let row = tensor.bytes() as usize / rows.max(1);
                (dtype_name(DType::U8), vec![rows, row])
            }
        };
        let entry = json!({
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [offset, end],
        });
        entries.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}
