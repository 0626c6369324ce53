//! The SAM in a whole model.

use burn::tensor::backend::Backend;

use super::model::SamModel;
use crate::AnyRef;

impl<B: Backend> AnyRef<B> {
    /// The SAM in the model, whose tensors it shares.
    pub fn sam(&self) -> SamModel<B> {
        SamModel {
            image_encoder: self.model.image_encoder.clone(),
            prompt_encoder: self.model.prompt_encoder.clone(),
            mask_decoder: self.model.mask_decoder.clone(),
        }
    }
}
