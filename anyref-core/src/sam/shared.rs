//! SAM within a whole model.

use burn::tensor::backend::Backend;

use super::config::{Sam2Config, SamConfig};
use super::kinds::{
    MaskDecoderKind, MaskDecoderKindConfig, MaskImageEncoder, MaskImageEncoderConfig,
};
use super::model::{Sam2Parts, SamForm, SamModel, SamParts};
use crate::{AnyRef, AnyRefConfig};

impl AnyRefConfig {
    /// Configuration of the SAM in the model, where it makes masks by one.
    pub fn sam(&self) -> Option<SamConfig> {
        match (self.image_encoder.clone()?, self.mask_decoder.clone()?) {
            (
                MaskImageEncoderConfig::Sam(image_encoder),
                MaskDecoderKindConfig::Sam(mask_decoder),
            ) => Some(SamConfig {
                image_encoder,
                prompt_encoder: self.prompt_encoder.clone()?,
                mask_decoder,
            }),
            _ => None,
        }
    }

    /// Configuration of the SAM 2 in the model, where it makes masks by one.
    pub fn sam2(&self) -> Option<Sam2Config> {
        match (self.image_encoder.clone()?, self.mask_decoder.clone()?) {
            (
                MaskImageEncoderConfig::Sam2(image_encoder),
                MaskDecoderKindConfig::Sam2(mask_decoder),
            ) => Some(Sam2Config {
                image_encoder,
                prompt_encoder: self.prompt_encoder.clone()?,
                mask_decoder,
            }),
            _ => None,
        }
    }
}

impl<B: Backend> AnyRef<B> {
    /// SAM or SAM 2 in the model, whose tensors it shares; `None` if the model makes no masks.
    pub fn sam(&self) -> Option<SamModel<B>> {
        let model = &self.model;
        let parts = (model.image_encoder.clone()?, model.mask_decoder.clone()?);
        let form = match parts {
            (MaskImageEncoder::Sam(image_encoder), MaskDecoderKind::Sam(mask_decoder)) => {
                SamForm::Sam(SamParts {
                    image_encoder,
                    mask_decoder,
                })
            }
            (MaskImageEncoder::Sam2(image_encoder), MaskDecoderKind::Sam2(mask_decoder)) => {
                SamForm::Sam2(Sam2Parts {
                    image_encoder,
                    mask_decoder,
                })
            }
            _ => return None,
        };
        Some(SamModel {
            form,
            prompt_encoder: model.prompt_encoder.clone()?,
        })
    }
}
