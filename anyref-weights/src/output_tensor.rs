//! A tensor on its way into a file.

use std::fmt;

use burn::tensor::{DType, TensorData};

use crate::error::{Error, Result};
use crate::safetensors_dtype::dtype_name;

/// A tensor on its way into a file, or into a checkpoint that is in none
/// ([`Checkpoint::of_tensors`]); its values are fetched when its turn comes.
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

    /// Size of the values in bytes.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.size() as u64
    }

    /// Refuses a type that the format does not know.
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
