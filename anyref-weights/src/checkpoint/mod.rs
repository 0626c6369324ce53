//! Tensors by name, from safetensors files, PyTorch files and folders with shards.
//!
//! Opening reads headers only; values are read when asked for, one tensor at a time. Nothing that a file
//! says is believed before it is compared with the file's size, and a pickle is parsed, never run.

mod file;
mod folder;
mod format;
mod pickle;
mod safetensors;
mod torch;
mod zip;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};

use crate::error::{Error, Result};
use crate::hub::local_path;
use crate::report::nearest;
use crate::writer::OutputTensor;
use file::DataFile;
pub use pickle::read_plain_pickle;
pub(crate) use safetensors::dtype_name as safetensors_dtype;

/// Smaller tensors are read, not mapped, in bytes.
const MAPPED: usize = 64 * 1024;

/// A tensor of a [`Checkpoint`], not read yet.
#[derive(Debug, Clone)]
pub struct TensorEntry {
    /// Name in the checkpoint.
    pub name: String,
    /// Type of the elements.
    pub dtype: DType,
    /// Shape.
    pub shape: Vec<usize>,
    source: Source,
}

/// Where the elements of a tensor come from.
#[derive(Debug, Clone)]
enum Source {
    File(Stored),
    /// From what makes them, of a checkpoint with this path.
    Made(Arc<OutputTensor>, Arc<Path>),
}

/// Where the elements of a tensor are in a file.
#[derive(Debug, Clone)]
struct Stored {
    file: Arc<DataFile>,
    /// Of the first element, in bytes.
    offset: u64,
    /// Distances in elements, when the tensor is not contiguous.
    strides: Option<Vec<usize>>,
}

impl TensorEntry {
    /// Number of elements.
    pub fn num_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The file the tensor is in.
    pub fn path(&self) -> &Path {
        match &self.source {
            Source::File(stored) => stored.file.path(),
            Source::Made(_, path) => path,
        }
    }

    /// Reads the values.
    ///
    /// # Errors
    /// When the file ends before the tensor or cannot be read; of a tensor that is in no file, when what makes it
    /// fails or gives values that do not fit its type and shape.
    pub fn read(&self) -> Result<TensorData> {
        let bytes = self.read_bytes()?;
        Ok(TensorData::from_bytes_vec(
            bytes,
            self.shape.clone(),
            self.dtype,
        ))
    }

    /// The values where they lie in the file, without a copy; nothing where they must be read.
    ///
    /// # Errors
    /// When the file is too short.
    pub(crate) fn mapped(&self) -> Result<Option<TensorData>> {
        let Source::File(stored) = &self.source else {
            return Ok(None);
        };
        let len = self.num_elements() * self.dtype.size();
        if stored.strides.is_some() || !self.dtype.is_float() || len < MAPPED {
            return Ok(None);
        }
        let bytes = stored.file.mapped(stored.offset, len)?;
        let aligned =
            |bytes: &bytes::Bytes| (bytes.as_ptr() as usize).is_multiple_of(self.dtype.size());
        Ok(bytes.filter(aligned).map(|bytes| {
            let bytes = Bytes::from_shared(bytes, AllocationProperty::File);
            TensorData::from_bytes(bytes, self.shape.clone(), self.dtype)
        }))
    }

    /// Reads the values' bytes in row-major order.
    pub(crate) fn read_bytes(&self) -> Result<Vec<u8>> {
        let Stored {
            file,
            offset,
            strides,
        } = match &self.source {
            Source::File(stored) => stored,
            Source::Made(tensor, _) => return Ok(tensor.fetch()?.as_bytes().to_vec()),
        };
        let size = self.dtype.size();
        let bytes = match strides {
            None => file.read(*offset, self.num_elements() * size)?,
            Some(_) if self.num_elements() == 0 => Vec::new(),
            Some(strides) => {
                let last: usize = self
                    .shape
                    .iter()
                    .zip(strides)
                    .map(|(n, s)| (n - 1) * s)
                    .sum();
                let stored = file.read(*offset, (last + 1) * size)?;
                gather(&stored, &self.shape, strides, size)
            }
        };
        // Any other byte in a bool would be undefined behaviour further on.
        match self.dtype {
            DType::Bool(_) => Ok(bytes.into_iter().map(|byte| u8::from(byte != 0)).collect()),
            _ => Ok(bytes),
        }
    }
}

/// Copies strided elements into row-major order.
fn gather(stored: &[u8], shape: &[usize], strides: &[usize], size: usize) -> Vec<u8> {
    let elements: usize = shape.iter().product();
    let mut output = Vec::with_capacity(elements * size);
    let mut index = vec![0usize; shape.len()];
    let mut position = 0;
    for _ in 0..elements {
        output.extend_from_slice(&stored[position * size..(position + 1) * size]);
        for dim in (0..shape.len()).rev() {
            index[dim] += 1;
            position += strides[dim];
            if index[dim] < shape[dim] {
                break;
            }
            position -= strides[dim] * shape[dim];
            index[dim] = 0;
        }
    }
    output
}

/// An opened checkpoint: the names, types and shapes of its tensors and where to read them.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    tensors: Vec<TensorEntry>,
    positions: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a `.safetensors` file, a PyTorch file (`.pt`, `.pth`, `.bin`), a `*.index.json` file of
    /// shards, or a folder with one of them as Hugging Face lays it out. An `hf://` location is fetched
    /// first, see [`hub`](crate::hub).
    ///
    /// The format is told from the content, not from the name. The names of a nested PyTorch dictionary
    /// are joined with dots (`state_dict.layer.weight`).
    ///
    /// # Errors
    /// When a file is missing, cannot be read, is damaged, or is of a format or has types that are not supported.
    /// When a folder has no checkpoint or several, shards and index do not agree, a tensor is there twice, or an
    /// `hf://` location cannot be fetched.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = local_path(path.as_ref())?;
        let path = path.as_ref();
        let meta = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if meta.is_dir() {
            return folder::open(path);
        }
        if path.to_string_lossy().ends_with(".index.json") {
            return folder::open_index(path);
        }
        Self::open_file(path)
    }

    /// Opens the content of one file, such as weights built into a program. `name` stands for the path
    /// in errors.
    ///
    /// # Errors
    /// When there are no bytes, or they are damaged, or of a format or with types that are not supported.
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
            format::Format::Safetensors => safetensors::open(&file)?,
            format::Format::TorchZip => (torch::open_zip(&file)?, BTreeMap::new()),
            format::Format::TorchLegacy => (torch::open_legacy(&file)?, BTreeMap::new()),
        };
        Self::new(path, tensors, metadata)
    }

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

    /// A checkpoint that is in no file: its tensors are made when they are read, one at a time. `path` stands for it in
    /// errors.
    ///
    /// # Errors
    /// When two tensors have one name, or a name has control characters.
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
    /// When a tensor is in two of them.
    pub fn merge(path: impl Into<PathBuf>, parts: Vec<Checkpoint>) -> Result<Self> {
        let mut tensors = Vec::new();
        let mut metadata = BTreeMap::new();
        for part in parts {
            tensors.extend(part.tensors);
            metadata.extend(part.metadata);
        }
        Self::new(path.into(), tensors, metadata)
    }

    /// The path it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors, sorted by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorEntry> {
        self.tensors.iter()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// A tensor by name.
    pub fn get(&self, name: &str) -> Option<&TensorEntry> {
        self.positions.get(name).map(|&i| &self.tensors[i])
    }

    /// A tensor by name.
    ///
    /// # Errors
    /// When there is none of this name; the error names the nearest one.
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
