//! Tensor to be written to a file.

use std::fmt;

use anyref_ops::blocks::{BlockError, BlockType, Blocks};
use anyref_ops::nn::{EmbeddingWeight, LinearWeight};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, TensorData};

use crate::error::{Error, Result};
use crate::rounding::rounded;
use crate::safetensors_dtype::dtype_name;

/// Tensor to be written to a file or held by a checkpoint without a file
/// ([`Checkpoint::of_tensors`]); its values are fetched on demand.
///
/// [`Checkpoint::of_tensors`]: crate::Checkpoint::of_tensors
pub struct OutputTensor {
    /// Name in the file.
    pub name: String,
    /// Type in the file, to which values are converted.
    pub dtype: DType,
    /// Shape in the file, in PyTorch's layout.
    pub shape: Vec<usize>,
    /// Format of the blocks to write in place of floats.
    blocks: Option<BlockType>,
    /// Values, or the bytes of blocks.
    data: Box<dyn Fn() -> Result<TensorData> + Send + Sync>,
    /// Values where they lie in a file, of one that is a tensor of a file as it is there.
    mapped: Option<Mapped>,
}

/// Values where they lie in a file; nothing where they must be read.
type Mapped = Box<dyn Fn() -> Result<Option<TensorData>> + Send + Sync>;

impl OutputTensor {
    /// Creates a tensor whose values `data` returns, in row-major order of `shape`.
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
            blocks: None,
            data: Box::new(data),
            mapped: None,
        }
    }

    /// Sets how the same values are had where they lie in a file, without a copy.
    pub(crate) fn with_mapped(
        self,
        mapped: impl Fn() -> Result<Option<TensorData>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            mapped: Some(Box::new(mapped)),
            ..self
        }
    }

    /// Whether the values can be used where they lie in a file, if they are aligned there.
    pub(crate) fn is_mappable(&self) -> bool {
        self.mapped.is_some()
    }

    /// The values where they lie in a file, without a copy; nothing where they must be read.
    pub(crate) fn mapped(&self) -> Result<Option<TensorData>> {
        self.mapped.as_ref().map_or(Ok(None), |mapped| mapped())
    }

    /// Creates a matrix `[rows, columns]` to be stored in blocks, which `data` returns.
    pub fn of_blocks(
        name: impl Into<String>,
        block_type: BlockType,
        shape: [usize; 2],
        data: impl Fn() -> Result<Blocks<'static>> + Send + Sync + 'static,
    ) -> Self {
        let bytes = move || {
            let bytes = data()?.into_bytes();
            let length = bytes.len();
            Ok(TensorData::from_bytes_vec(bytes, [length], DType::U8))
        };
        Self {
            blocks: Some(block_type),
            ..Self::new(name, DType::F32, shape, bytes)
        }
    }

    /// Creates the matrix of a linear layer, in its blocks; `None` for a dense weight.
    pub fn of_linear<B: Backend>(
        name: impl Into<String>,
        weight: &LinearWeight<B>,
    ) -> Option<Self> {
        let block_type = weight.block_type()?;
        let ([d_input, d_output], weight) = (weight.dims(), weight.clone());
        let blocks = move || Ok(weight.to_blocks().expect("a weight in blocks"));
        let shape = [d_output, d_input];
        Some(Self::of_blocks(name, block_type, shape, blocks))
    }

    /// Creates a table of embeddings, in its blocks; `None` for a dense table.
    pub fn of_table<B: Backend>(
        name: impl Into<String>,
        table: &EmbeddingWeight<B>,
    ) -> Option<Self> {
        let block_type = table.block_type()?;
        let (shape, table) = (table.lazy_shape().dims(), table.clone());
        let blocks = move || Ok(table.to_blocks().expect("a table in blocks"));
        Some(Self::of_blocks(name, block_type, shape, blocks))
    }

    /// Rounds the tensor to blocks; a tensor already in this format is returned unchanged.
    ///
    /// # Errors
    /// [`BlockError::Row`] when the tensor is not a matrix with rows of whole blocks,
    /// [`BlockError::NotWritten`] for read-only formats.
    pub fn quantized(self, block_type: BlockType) -> Result<Self, BlockError> {
        if self.blocks == Some(block_type) {
            return Ok(self);
        }
        let columns = self.shape.last().copied().unwrap_or(0);
        let &[rows, _] = self.shape.as_slice() else {
            return Err(BlockError::Row {
                columns,
                block_type,
            });
        };
        // Checks that rows of this length are possible.
        anyref_ops::blocks::quantize(&vec![0.0; columns], block_type)?;
        let (name, shape) = (self.name.clone(), [rows, columns]);
        Ok(Self::of_blocks(name, block_type, shape, move || {
            let blocks = rounded(&self.read()?, block_type, shape);
            Ok(blocks.expect("whole blocks of a written format"))
        }))
    }

    /// Format of the blocks to write; `None` for plain values.
    pub fn block_type(&self) -> Option<BlockType> {
        self.blocks
    }

    /// Size of the values, or of the blocks that hold them, in bytes.
    pub fn bytes(&self) -> u64 {
        let values = self.shape.iter().product::<usize>() as u64;
        match self.blocks {
            None => values * self.dtype.size() as u64,
            Some(block) => values / block.values() as u64 * block.bytes() as u64,
        }
    }

    /// Values, with blocks dequantized to f32.
    pub(crate) fn read(&self) -> Result<TensorData> {
        Ok(match self.fetch_blocks()? {
            Some(blocks) => TensorData::new(blocks.dequantize(), self.shape.clone()),
            None => self.fetch()?,
        })
    }

    /// Blocks; `None` for plain values.
    pub(crate) fn fetch_blocks(&self) -> Result<Option<Blocks<'static>>> {
        let (Some(block), &[rows, columns]) = (self.blocks, self.shape.as_slice()) else {
            return Ok(None);
        };
        let bytes = self.fetch()?.as_bytes().to_vec();
        let blocks = Blocks::new(block, [rows, columns], bytes);
        Ok(Some(blocks.expect("as many bytes as the shape asks for")))
    }

    /// Rejects a type that the format does not support.
    pub(crate) fn check(&self) -> Result<()> {
        match dtype_name(self.dtype) {
            Some(_) => Ok(()),
            None => Err(Error::DType {
                tensor: self.name.clone(),
                action: "write",
                dtype: self.dtype.name().into(),
            }),
        }
    }

    /// Content of the file: values in the file's type, in the number of the shape, or bytes of
    /// blocks.
    pub(crate) fn fetch(&self) -> Result<TensorData> {
        let data = match self.blocks {
            None => self.converted((self.data)()?)?,
            Some(_) => (self.data)()?,
        };
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

/// Returns whether any half-precision value has the exponent of infinity.
fn has_infinite_f16(bytes: &[u8]) -> bool {
    let (values, _) = bytes.as_chunks::<2>();
    values
        .iter()
        .any(|&value| u16::from_le_bytes(value) & 0x7c00 == 0x7c00)
}
