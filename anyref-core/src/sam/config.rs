//! Configuration of a whole SAM.

use anyref_decoder::{MaskDecoderConfig, PromptEncoderConfig};
use anyref_vision::sam::SamVisionConfig;

use crate::{Error, Result};

/// Configuration of a [`SamModel`](super::SamModel): that of its three parts.
#[derive(Debug, Clone)]
pub struct SamConfig {
    /// The image encoder.
    pub image_encoder: SamVisionConfig,
    /// The prompt encoder.
    pub prompt_encoder: PromptEncoderConfig,
    /// The mask decoder.
    pub mask_decoder: MaskDecoderConfig,
}

impl SamConfig {
    /// The published decoder behind an image encoder.
    fn of_encoder(image_encoder: SamVisionConfig) -> Self {
        let width = image_encoder.output_channels;
        Self {
            prompt_encoder: PromptEncoderConfig::new()
                .with_embed_dim(width)
                .with_image_embedding_size(image_encoder.grid_size())
                .with_input_image_size(image_encoder.image_size),
            mask_decoder: MaskDecoderConfig::new().with_transformer_dim(width),
            image_encoder,
        }
    }

    /// `sam_vit_b_01ec64.pth`.
    pub fn vit_base() -> Self {
        Self::of_encoder(SamVisionConfig::vit_base())
    }

    /// `sam_vit_l_0b3195.pth`.
    pub fn vit_large() -> Self {
        Self::of_encoder(SamVisionConfig::vit_large())
    }

    /// `sam_vit_h_4b8939.pth`.
    pub fn vit_huge() -> Self {
        Self::of_encoder(SamVisionConfig::vit_huge())
    }

    /// A few thousand parameters, for tests and examples.
    pub fn tiny() -> Self {
        let image_encoder = SamVisionConfig::tiny();
        let mut config = Self::of_encoder(image_encoder);
        config.mask_decoder = MaskDecoderConfig::nano(config.image_encoder.output_channels);
        config
    }

    /// Whether such a model can be.
    ///
    /// # Errors
    /// When a part cannot be, or two parts do not fit together.
    pub fn validate(&self) -> Result<()> {
        self.image_encoder.validate()?;
        self.prompt_encoder.validate()?;
        self.mask_decoder.validate()?;
        let (encoder, prompts) = (&self.image_encoder, &self.prompt_encoder);
        let fits = [
            (prompts.embed_dim, encoder.output_channels),
            (self.mask_decoder.transformer_dim, encoder.output_channels),
            (prompts.image_embedding_size, encoder.grid_size()),
            (prompts.input_image_size, encoder.image_size),
        ];
        match fits.iter().find(|(own, encoders)| own != encoders) {
            None => Ok(()),
            Some((own, encoders)) => Err(Error::Config {
                field: "prompt_encoder",
                problem: format!(
                    "and mask_decoder take {own} where image_encoder gives {encoders}: make them \
                     equal"
                ),
            }),
        }
    }
}
