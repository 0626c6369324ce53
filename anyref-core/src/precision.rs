//! In which types a model's weights are kept and its values computed.

use anyref_weights::{LoadOptions, WeightType, ops};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Element};

use crate::{Error, Result};

/// How a model is loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelOptions {
    /// What its weights are kept as.
    ///
    /// On the processor values are f32 whatever this is. The matrices of linear layers and the token
    /// embeddings, most of a large model, are kept in half precision, norms, convolutions, positions and
    /// biases in f32. On other backends weights and values are of one type, f32 unless another is asked for by
    /// name, and norms, softmax, SAM's neck and positions are computed in f32.
    pub dtype: WeightType,
}

impl ModelOptions {
    /// Weights of this type.
    pub fn new(dtype: WeightType) -> Self {
        Self { dtype }
    }

    /// How the tensors are read for backend `B`.
    ///
    /// # Errors
    /// When the device does not compute with the type.
    pub(crate) fn load_options<B: Backend>(self, device: &B::Device) -> Result<LoadOptions> {
        let options = LoadOptions::default();
        let own = B::FloatElem::dtype();
        if ops::takes_weights_as_stored::<B>() {
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
        // A rounded frequency is another place.
        let frequencies = r"\.positional_encoding_gaussian_matrix$";
        Ok(options.with_cast(Some(dtype)).with_wide(frequencies))
    }
}
