//! Types of a model's weights and values.

use anyref_llm::Quantization;
use anyref_ops::blocks::BlockType;
use anyref_ops::{self as ops, StoredWeights};
use anyref_weights::{LoadOptions, WeightType};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Element, Tensor};

use crate::{Error, Result};

/// Name of the parameter that is always f32, since a rounded frequency is another position.
pub const FREQUENCIES: &str = "positional_encoding_gaussian_matrix";

/// Converts the weights of a module to another type, except for [`FREQUENCIES`].
pub fn cast_weights<B: Backend, M: Module<B>>(module: M, dtype: DType) -> M {
    let path = Vec::new();
    module.map(&mut Cast { dtype, path })
}

struct Cast {
    dtype: DType,
    path: Vec<String>,
}

impl<B: Backend> ModuleMapper<B> for Cast {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        match self.path.last().is_some_and(|name| name == FREQUENCIES) {
            true => param,
            false => param.map(|tensor| tensor.cast(self.dtype)),
        }
    }
}

/// Options of loading a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelOptions {
    /// Type of the weights.
    ///
    /// On the processor values are always f32. The matrices of linear layers and the token
    /// embeddings, most of a large model, are kept in half precision; norms, convolutions,
    /// positions and biases in f32. On other backends weights and values have one type, f32 unless
    /// another is requested by name; norms up to their scale, softmax, SAM's neck and positions are
    /// computed in f32.
    pub dtype: WeightType,
    /// Free memory of the processor in bytes, see [`free_memory`](crate::free_memory); a large
    /// model that takes more is rejected before its weights are read. `None` disables the check.
    pub free_memory: Option<u64>,
    /// Block format to which the language model's projections are rounded as they are read, by the
    /// rules of [`Quantization`]. `None` keeps the formats of the files, including blocks.
    pub quantize: Option<BlockType>,
}

impl ModelOptions {
    /// Options with weights of this type.
    pub fn new(dtype: WeightType) -> Self {
        Self {
            dtype,
            free_memory: None,
            quantize: None,
        }
    }

    /// Sets [`quantize`](Self::quantize).
    pub fn with_quantize(self, quantize: Option<BlockType>) -> Self {
        Self { quantize, ..self }
    }

    /// Quantisation rules of the language model's weights.
    pub(crate) fn quantization(self) -> Option<Quantization> {
        self.quantize.map(Quantization::new)
    }

    /// Sets [`free_memory`](Self::free_memory).
    pub fn with_free_memory(self, free_memory: Option<u64>) -> Self {
        Self {
            free_memory,
            ..self
        }
    }

    /// Options for reading the tensors on backend `B`.
    ///
    /// # Errors
    /// When the device does not support the type.
    pub(crate) fn load_options<B: Backend>(self, device: &B::Device) -> Result<LoadOptions> {
        let options = LoadOptions::default();
        let own = B::FloatElem::dtype();
        if ops::stored_weights::<B>(device) == StoredWeights::HalfOrMapped {
            return Ok(options.with_cast(Some(own)).with_matrices(Some(self.dtype)));
        }
        let dtype = match self.dtype.fixed() {
            None | Some(DType::F32) => own,
            Some(asked) if B::supports_dtype(device, asked) => asked,
            Some(asked) => {
                return Err(Error::WeightType {
                    backend: B::name(device),
                    dtype: asked.name(),
                });
            }
        };
        let frequencies = format!(r"\.{FREQUENCIES}$");
        Ok(options.with_cast(Some(dtype)).with_wide(frequencies))
    }
}
