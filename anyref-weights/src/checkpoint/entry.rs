//! Tensor of a checkpoint: name, type, shape and location of its values.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyref_ops::blocks::{BlockType, Blocks, dequantize};
use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};

use super::file::DataFile;
use crate::error::Result;
use crate::output_tensor::OutputTensor;

/// Minimum size in bytes of a mapped tensor; smaller ones are read.
const MAPPED: usize = 64 * 1024;

/// Tensor of a [`Checkpoint`](crate::Checkpoint) that has not been read.
#[derive(Debug, Clone)]
pub struct TensorEntry {
    /// Name in the checkpoint.
    pub name: String,
    /// Type of the elements.
    pub dtype: DType,
    /// Shape.
    pub shape: Vec<usize>,
    pub(super) source: Source,
}

/// Source of a tensor's elements.
#[derive(Debug, Clone)]
pub(super) enum Source {
    File(Stored),
    /// Computed by an [`OutputTensor`], in a checkpoint with this path.
    Made(Arc<OutputTensor>, Arc<Path>),
}

/// Location of a tensor's elements in a file.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) file: Arc<DataFile>,
    /// Offset of the first element in bytes.
    pub(super) offset: u64,
    /// Strides in elements, if the tensor is not contiguous.
    pub(super) strides: Option<Vec<usize>>,
    /// Block format of a GGUF tensor that stands for f32.
    pub(super) blocks: Option<BlockType>,
}

impl Stored {
    /// Size in bytes of a contiguous tensor in the file.
    pub(super) fn bytes_of(&self, tensor: &TensorEntry) -> usize {
        match self.blocks {
            None => tensor.num_elements() * tensor.dtype.size(),
            Some(block) => tensor.num_elements() / block.values() * block.bytes(),
        }
    }

    /// Reads some rows of a contiguous tensor, of `row` bytes each.
    pub(super) fn read_rows(&self, rows: &Range<usize>, row: usize) -> Result<Vec<u8>> {
        let offset = self.offset + (rows.start * row) as u64;
        self.file.read(offset, rows.len() * row)
    }
}

impl TensorEntry {
    /// Number of elements.
    pub fn num_elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// File that contains the tensor.
    pub fn path(&self) -> &Path {
        match &self.source {
            Source::File(stored) => stored.file.path(),
            Source::Made(_, path) => path,
        }
    }

    /// Reads the values.
    ///
    /// # Errors
    /// When the file cannot be read or ends before the tensor. For a computed tensor, when the
    /// computation fails or returns values that do not fit type and shape.
    pub fn read(&self) -> Result<TensorData> {
        let bytes = self.read_bytes()?;
        Ok(TensorData::from_bytes_vec(
            bytes,
            self.shape.clone(),
            self.dtype,
        ))
    }

    /// Returns whether the values can be used in place in a mapped file, given a suitable
    /// alignment.
    pub(crate) fn is_mappable(&self) -> bool {
        let len = self.num_elements() * self.dtype.size();
        match &self.source {
            Source::File(stored) => {
                let plain = stored.strides.is_none() && stored.blocks.is_none();
                let in_rows = plain && stored.file.is_on_disk();
                in_rows && self.dtype.is_float() && len >= MAPPED
            }
            Source::Made(tensor, _) => tensor.is_mappable(),
        }
    }

    /// Format of the blocks that hold the values in the file, or `None` for plain values. The
    /// [type](Self::dtype) of values in blocks is f32.
    pub fn block_type(&self) -> Option<BlockType> {
        match &self.source {
            Source::File(stored) => stored.blocks,
            Source::Made(tensor, _) => tensor.block_type(),
        }
    }

    /// Size in bytes of the stored values; for values in blocks, of the blocks.
    pub fn stored_bytes(&self) -> usize {
        match &self.source {
            Source::File(stored) => stored.bytes_of(self),
            Source::Made(tensor, _) => tensor.bytes() as usize,
        }
    }

    /// Reads the blocks of a matrix `[rows, columns]`; `None` if the values are plain or the tensor
    /// is no matrix.
    ///
    /// # Errors
    /// When the file cannot be read or ends before the tensor.
    pub fn read_blocks(&self) -> Result<Option<Blocks<'static>>> {
        let stored = match &self.source {
            Source::File(stored) => stored,
            Source::Made(tensor, _) => return tensor.fetch_blocks(),
        };
        let (Some(block), &[rows, columns]) = (stored.blocks, self.shape.as_slice()) else {
            return Ok(None);
        };
        let bytes = stored.file.read(stored.offset, stored.bytes_of(self))?;
        let blocks = Blocks::new(block, [rows, columns], bytes);
        Ok(Some(
            blocks.expect("the header was compared with the shape"),
        ))
    }

    /// Returns the values in place in the mapped file, or `None` if they must be read.
    ///
    /// # Errors
    /// When the file is too short.
    pub(crate) fn mapped(&self) -> Result<Option<TensorData>> {
        let stored = match &self.source {
            Source::File(stored) if self.is_mappable() => stored,
            Source::File(_) => return Ok(None),
            Source::Made(tensor, _) => return tensor.mapped(),
        };
        let len = self.num_elements() * self.dtype.size();
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
            blocks,
        } = match &self.source {
            Source::File(stored) => stored,
            Source::Made(tensor, _) => {
                let bytes = tensor.read()?.bytes;
                return Ok(bytes.try_into_vec().unwrap_or_else(|bytes| bytes.to_vec()));
            }
        };
        if let Some(block) = *blocks {
            let bytes = self.num_elements() / block.values() * block.bytes();
            let mut values = vec![0.0f32; self.num_elements()];
            dequantize(block, &file.read(*offset, bytes)?, &mut values);
            return Ok(values.into_iter().flat_map(f32::to_ne_bytes).collect());
        }
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
        // Any other byte in a bool would be undefined behaviour later.
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

impl OutputTensor {
    /// Creates a tensor from that of a checkpoint, under `name`. With a `dtype` its values are
    /// converted to it; with `None` it keeps its type, and a matrix in blocks its blocks. Plain
    /// values that keep their type can be used in place in a mapped file, without a copy.
    pub fn from_entry(name: impl Into<String>, entry: &TensorEntry, dtype: Option<DType>) -> Self {
        let shape = entry.shape.clone();
        let blocks = entry.block_type().filter(|_| dtype.is_none());
        let dtype = dtype.unwrap_or(entry.dtype);
        let entry = entry.clone();
        if let (Some(block), &[rows, columns]) = (blocks, shape.as_slice()) {
            return Self::of_blocks(name, block, [rows, columns], move || {
                Ok(entry.read_blocks()?.expect("a matrix in blocks"))
            });
        }
        let as_stored = (dtype == entry.dtype && entry.is_mappable()).then(|| entry.clone());
        let tensor = Self::new(name, dtype, shape, move || entry.read());
        match as_stored {
            Some(entry) => tensor.with_mapped(move || entry.mapped()),
            None => tensor,
        }
    }
}
