//! SAM within a whole model.

use burn::tensor::backend::Backend;

use super::config::SamConfig;
use super::model::{SamForm, SamModel, SamParts};
use crate::{AnyRef, AnyRefConfig};

impl AnyRefConfig {
    /// Configuration of the model's SAM; `None` if it makes no masks.
    pub fn sam(&self) -> Option<SamConfig> {
        Some(SamConfig {
            image_encoder: self.image_encoder.clone()?,
            prompt_encoder: self.prompt_encoder.clone()?,
            mask_decoder: self.mask_decoder.clone()?,
        })
    }
}

impl<B: Backend> AnyRef<B> {
    /// SAM of the model, which shares its tensors; `None` if it makes no masks.
    pub fn sam(&self) -> Option<SamModel<B>> {
        let masks = self.model.masks()?;
        Some(SamModel {
            form: SamForm::Sam(SamParts {
                image_encoder: masks.image_encoder.clone(),
                mask_decoder: masks.mask_decoder.clone(),
            }),
            prompt_encoder: masks.prompt_encoder.clone(),
        })
    }
}
