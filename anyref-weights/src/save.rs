//! Writing a module as safetensors, in PyTorch's names and layout.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, DType, Int, Tensor, TensorData};
use serde_json::{Map, Value, json};

use crate::checkpoint::safetensors_dtype;
use crate::error::{Error, Result};
use crate::layout::{ParamPath, transpose};

/// How [`save_module`] writes.
#[derive(Debug, Clone, Default)]
pub struct SaveOptions {
    /// Type of the float tensors (f32, f16, bf16 or f64); `None` keeps the module's.
    pub dtype: Option<DType>,
    /// Free-form entries for the header; `format: pt` is added when absent.
    pub metadata: BTreeMap<String, String>,
    /// Put before every name.
    pub prefix: String,
    /// Largest shard in bytes. A larger module is written in several files with an index; `None` writes
    /// one file.
    pub max_shard_bytes: Option<u64>,
}

impl SaveOptions {
    /// Sets [`dtype`](Self::dtype).
    pub fn with_dtype(mut self, dtype: Option<DType>) -> Self {
        self.dtype = dtype;
        self
    }

    /// Adds an entry to [`metadata`](Self::metadata).
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets [`prefix`](Self::prefix).
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets [`max_shard_bytes`](Self::max_shard_bytes).
    pub fn with_max_shard_bytes(mut self, bytes: u64) -> Self {
        self.max_shard_bytes = Some(bytes);
        self
    }
}

/// Writes every parameter of `module` to `path`, a `.safetensors` file that PyTorch reads with the names
/// and shapes it expects.
///
/// The tensors are fetched from the device one by one. The file appears under its name only when it is
/// complete. When [`max_shard_bytes`](SaveOptions::max_shard_bytes) asks for shards, `model.safetensors`
/// becomes `model-00001-of-00002.safetensors`, ... and `model.safetensors.index.json`.
///
/// Returns the path to open again: `path`, or that of the index.
pub fn save_module<B: Backend, M: Module<B>>(
    module: &M,
    path: impl AsRef<Path>,
    options: &SaveOptions,
) -> Result<PathBuf> {
    let path = path.as_ref();
    let mut collector = Collector {
        path: ParamPath::default(),
        options,
        tensors: Vec::new(),
    };
    module.visit(&mut collector);
    let mut tensors = collector.tensors;
    for tensor in &tensors {
        tensor.check()?;
    }
    // Wide types first keep every tensor aligned to its element size.
    tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.dtype.size()));

    let total: u64 = tensors.iter().map(Saved::bytes).sum();
    match options.max_shard_bytes {
        Some(most) if total > most => write_shards(path, tensors, most, total, options),
        _ => {
            write_file(path, &tensors, &options.metadata)?;
            Ok(path.to_path_buf())
        }
    }
}

/// A tensor to write; `data` fetches its values in PyTorch's layout.
struct Saved {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    data: Box<dyn Fn() -> Result<TensorData, String>>,
}

impl Saved {
    fn bytes(&self) -> u64 {
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
}

/// Collects the tensors of a module; a clone of a tensor shares its memory.
struct Collector<'a> {
    path: ParamPath,
    options: &'a SaveOptions,
    tensors: Vec<Saved>,
}

impl Collector<'_> {
    fn add(
        &mut self,
        dtype: DType,
        mut shape: Vec<usize>,
        data: impl Fn() -> Result<TensorData, String> + 'static,
    ) {
        let name = format!("{}{}", self.options.prefix, self.path.torch_name());
        let transposed = self.path.is_transposed(shape.len());
        let (rows, columns) = match (transposed, &shape[..]) {
            (true, &[rows, columns]) => (rows, columns),
            _ => (0, 0),
        };
        if transposed {
            shape.reverse();
        }
        let data = move || {
            let data = data()?.convert_dtype(dtype);
            if !transposed {
                return Ok(data);
            }
            let bytes = transpose(data.as_bytes(), rows, columns, dtype.size());
            Ok(TensorData::from_bytes_vec(bytes, [columns, rows], dtype))
        };
        self.tensors.push(Saved {
            name,
            dtype,
            shape,
            data: Box::new(data),
        });
    }
}

impl<B: Backend> ModuleVisitor<B> for Collector<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.transform_for_save().val();
        let dtype = self.options.dtype.unwrap_or(tensor.dtype());
        self.add(dtype, tensor.dims().to_vec(), move || {
            tensor.clone().try_into_data().map_err(|e| format!("{e:?}"))
        });
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<B, D, Int>>) {
        let tensor = param.transform_for_save().val();
        self.add(tensor.dtype(), tensor.dims().to_vec(), move || {
            tensor.clone().try_into_data().map_err(|e| format!("{e:?}"))
        });
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<B, D, Bool>>) {
        let tensor = param.transform_for_save().val();
        let dtype = DType::Bool(burn::tensor::BoolStore::Native);
        self.add(dtype, tensor.dims().to_vec(), move || {
            tensor.clone().try_into_data().map_err(|e| format!("{e:?}"))
        });
    }
}

/// Writes shards of at most `most` bytes each (a larger tensor gets one of its own), then the index.
fn write_shards(
    path: &Path,
    tensors: Vec<Saved>,
    most: u64,
    total: u64,
    options: &SaveOptions,
) -> Result<PathBuf> {
    let mut shards: Vec<Vec<Saved>> = Vec::new();
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
fn write_file(path: &Path, tensors: &[Saved], metadata: &BTreeMap<String, String>) -> Result<()> {
    let header = header(tensors, metadata);
    write_atomically(path, |file| {
        let io = |e| Error::io(path, e);
        file.write_all(&(header.len() as u64).to_le_bytes())
            .map_err(io)?;
        file.write_all(&header).map_err(io)?;
        for tensor in tensors {
            let data = (tensor.data)().map_err(|reason| Error::Device {
                tensor: tensor.name.clone(),
                reason,
            })?;
            file.write_all(data.as_bytes()).map_err(io)?;
        }
        Ok(())
    })
}

/// The JSON header, padded so that the values start at a multiple of eight.
fn header(tensors: &[Saved], metadata: &BTreeMap<String, String>) -> Vec<u8> {
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
