//! The SAM in a whole model.

use burn::tensor::backend::Backend;

use super::config::SamConfig;
use super::model::{SamForm, SamModel, SamParts};
use crate::{AnyRef, AnyRefConfig};

impl AnyRefConfig {
    /// Configuration of the SAM in the model.
    pub fn sam(&self) -> SamConfig {
        SamConfig {
            image_encoder: self.image_encoder.clone(),
            prompt_encoder: self.prompt_encoder.clone(),
            mask_decoder: self.mask_decoder.clone(),
        }
    }
}

impl<B: Backend> AnyRef<B> {
    /// The SAM in the model, whose tensors it shares.
    pub fn sam(&self) -> SamModel<B> {
        SamModel {
            form: SamForm::Sam(SamParts {
                image_encoder: self.model.image_encoder.clone(),
                mask_decoder: self.model.mask_decoder.clone(),
            }),
            prompt_encoder: self.model.prompt_encoder.clone(),
        }
    }
}
