//! Writing tensors as safetensors, one at a time, into one file or into shards with an index.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use serde_json::{Map, Value, json};

use crate::checkpoint::{TensorEntry, safetensors_dtype};
use crate::error::{Error, Result};
use crate::save::SaveOptions;

/// A tensor on its way into a file, or into a checkpoint that is in none ([`Checkpoint::of_tensors`]); its values
/// are fetched when its turn comes.
///
/// [`Checkpoint::of_tensors`]: crate::Checkpoint::of_tensors
pub struct OutputTensor {
    /// Name in the file.
    pub name: String,
    /// Type in the file; values of another are converted.
    pub dtype: DType,
    /// Shape in the file, PyTorch's.
    pub shape: Vec<usize>,
    data: Box<dyn Fn() -> Result<TensorData> + Send + Sync>,
}

impl OutputTensor {
    /// A tensor whose values `data` gives, in row-major order of `shape`.
    pub fn new(
        name: impl Into<String>,
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        data: impl Fn() -> Result<TensorData> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            dtype,
            shape: shape.into(),
            data: Box::new(data),
        }
    }

    /// A tensor of a checkpoint, under another name and as `dtype`, or as the type it has.
    pub fn from_entry(name: impl Into<String>, entry: &TensorEntry, dtype: Option<DType>) -> Self {
        let (dtype, shape) = (dtype.unwrap_or(entry.dtype), entry.shape.clone());
        let entry = entry.clone();
        Self::new(name, dtype, shape, move || entry.read())
    }

    /// Size of the values in bytes.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.size() as u64
    }

    fn check(&self) -> Result<()> {
        match safetensors_dtype(self.dtype) {
            Some(_) => Ok(()),
            None => Err(Error::DType {
                tensor: self.name.clone(),
                action: "write",
                dtype: self.dtype.name().into(),
            }),
        }
    }

    /// The values in the file's type, as many as its shape has.
    pub(crate) fn fetch(&self) -> Result<TensorData> {
        let data = self.converted((self.data)()?)?;
        let found = data.as_bytes().len() as u64;
        if found != self.bytes() {
            return Err(Error::Device {
                tensor: self.name.clone(),
                reason: format!("{found} bytes instead of {}", self.bytes()),
            });
        }
        Ok(data)
    }

    fn converted(&self, data: TensorData) -> Result<TensorData> {
        if data.dtype == self.dtype {
            return Ok(data);
        }
        let finite = self.dtype != DType::F16 || data.iter::<f32>().all(f32::is_finite);
        let data = data.convert_dtype(self.dtype);
        if self.dtype == DType::F16 && finite && has_infinite_f16(data.as_bytes()) {
            return Err(Error::Overflow(self.name.clone()));
        }
        Ok(data)
    }
}

impl fmt::Debug for OutputTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.name, self.dtype, self.shape)
    }
}

/// Whether any half-precision value has the exponent of infinity.
fn has_infinite_f16(bytes: &[u8]) -> bool {
    let (values, _) = bytes.as_chunks::<2>();
    values
        .iter()
        .any(|&value| u16::from_le_bytes(value) & 0x7c00 == 0x7c00)
}

/// Writes tensors to `path`, a `.safetensors` file, fetching them one after another: at any time the
/// values of one are held in memory. Of the options, metadata and the size of shards count.
///
/// A file appears under its name only when it is complete, and an index after all of its shards. See
/// [`save_module`](crate::save_module) for the names of shards.
///
/// Returns the path to open again: `path`, or that of the index.
///
/// # Errors
/// When a tensor cannot be fetched or has a type that the format does not know, when a value does not
/// fit half precision, or when the disk refuses.
pub fn write_checkpoint(
    path: impl AsRef<Path>,
    mut tensors: Vec<OutputTensor>,
    options: &SaveOptions,
) -> Result<PathBuf> {
    let path = path.as_ref();
    for tensor in &tensors {
        tensor.check()?;
    }
    // Wide types first keep every tensor aligned to its element size.
    tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.dtype.size()));

    let total: u64 = tensors.iter().map(OutputTensor::bytes).sum();
    match options.max_shard_bytes {
        Some(most) if total > most => write_shards(path, tensors, most, total, options),
        _ => {
            write_file(path, &tensors, &options.metadata)?;
            Ok(path.to_path_buf())
        }
    }
}

/// Writes shards of at most `most` bytes each (a larger tensor gets one of its own), then the index.
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
    write_atomically(&index, |file| {
        file.write_all(format!("{content:#}\n").as_bytes())
            .map_err(|e| Error::io(&index, e))
    })?;
    Ok(index)
}

/// Writes one safetensors file.
fn write_file(
    path: &Path,
    tensors: &[OutputTensor],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let header = header(tensors, metadata);
    write_atomically(path, |file| {
        let io = |e| Error::io(path, e);
        file.write_all(&(header.len() as u64).to_le_bytes())
            .map_err(io)?;
        file.write_all(&header).map_err(io)?;
        for tensor in tensors {
            file.write_all(tensor.fetch()?.as_bytes()).map_err(io)?;
        }
        Ok(())
    })
}

/// The JSON header, padded so that the values start at a multiple of eight.
fn header(tensors: &[OutputTensor], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut entries = Map::new();
    let mut metadata = metadata.clone();
    metadata
        .entry("format".into())
        .or_insert_with(|| "pt".into());
    entries.insert("__metadata__".into(), json!(metadata));
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.bytes();
        let entry = json!({
            "dtype": safetensors_dtype(tensor.dtype),
            "shape": tensor.shape,
            "data_offsets": [offset, end],
        });
        entries.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}

/// Writes beside `path`, then renames: a crash leaves the old file or none, never half of one.
fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let result = (|| {
        let io = |e| Error::io(path, e);
        let mut file = BufWriter::new(File::create(&temporary).map_err(io)?);
        write(&mut file)?;
        let file = file.into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(io)?;
        std::fs::rename(&temporary, path).map_err(io)
    })();
    if result.is_err() {
        // The first error is the one worth reporting.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}
