//! Types of a model's weights and values.

use anyref_llm::Quantization;
use anyref_ops::blocks::BlockType;
use anyref_ops::{self as ops, CacheType, StoredWeights};
use anyref_weights::{LoadOptions, WeightType, with_matrices_as_mapped, with_stored_layout};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Element, Tensor};

use crate::encoder_blocks::EncoderBlocks;
use crate::encoder_format::EncoderFormat;
use crate::{Error, Result};

/// Name of the parameter that is always f32, since a rounded frequency is another position.
pub const FREQUENCIES: &str = "positional_encoding_gaussian_matrix";

/// Converts the weights of a module to another type, except for [`FREQUENCIES`].
pub fn cast_weights<B: Backend, M: Module<B>>(module: M, dtype: DType) -> M {
    let path = Vec::new();
    module.map(&mut Cast { dtype, path })
}

/// Gives a drawn module's weights the types and the memory layout that they would have if they were
/// loaded from a safetensors file in that type with [`ModelOptions::dtype`]: on the processor
/// matrices alone are converted.
pub fn as_loaded<B: Backend, M: Module<B>>(module: M, dtype: DType, device: &B::Device) -> M {
    match ops::stored_weights::<B>(device) {
        StoredWeights::HalfOrMapped => with_matrices_as_mapped(module, dtype),
        _ => with_stored_layout(cast_weights(module, dtype)),
    }
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
#[derive(Debug, Clone, Default)]
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
    /// Formats of blocks that the language model's weights are rounded to as they are read. `None`
    /// keeps what the files have, blocks too.
    pub quantize: Option<Quantization>,
    /// Form that the matrices of the picture encoders' layers are rounded to as they are read;
    /// `None` keeps what the files have.
    pub quantize_vision: Option<EncoderFormat>,
    /// Form that the matrices of ImageBind's layers are rounded to as they are read, as
    /// [`quantize_vision`](Self::quantize_vision).
    pub quantize_audio: Option<EncoderFormat>,
    /// Type that the language model keeps the keys and values of what it has read in.
    pub cache_type: CacheType,
}

impl ModelOptions {
    /// Options with weights of this type.
    pub fn new(dtype: WeightType) -> Self {
        Self {
            dtype,
            free_memory: None,
            quantize: None,
            quantize_vision: None,
            quantize_audio: None,
            cache_type: CacheType::F32,
        }
    }

    /// Sets [`quantize`](Self::quantize) to projections of one format.
    pub fn with_quantize(self, block_type: Option<BlockType>) -> Self {
        self.with_quantization(block_type.map(Quantization::new))
    }

    /// Sets [`quantize`](Self::quantize).
    pub fn with_quantization(self, quantize: Option<Quantization>) -> Self {
        Self { quantize, ..self }
    }

    /// Sets [`quantize_vision`](Self::quantize_vision).
    pub fn with_quantize_vision(self, quantize_vision: Option<EncoderFormat>) -> Self {
        Self {
            quantize_vision,
            ..self
        }
    }

    /// Sets [`quantize_audio`](Self::quantize_audio).
    pub fn with_quantize_audio(self, quantize_audio: Option<EncoderFormat>) -> Self {
        Self {
            quantize_audio,
            ..self
        }
    }

    /// Forms of the encoders.
    pub(crate) fn encoder_blocks(&self) -> EncoderBlocks {
        EncoderBlocks {
            vision: self.quantize_vision,
            audio: self.quantize_audio,
        }
    }

    /// Sets [`cache_type`](Self::cache_type).
    pub fn with_cache_type(self, cache_type: CacheType) -> Self {
        Self { cache_type, ..self }
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
    pub(crate) fn load_options<B: Backend>(&self, device: &B::Device) -> Result<LoadOptions> {
        if let Some(half) = self
            .cache_type
            .half()
            .filter(|&half| !B::supports_dtype(device, half))
        {
            return Err(Error::CacheType {
                backend: B::name(device),
                dtype: half.name(),
            });
        }
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
