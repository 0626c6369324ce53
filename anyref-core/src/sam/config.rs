//! Configuration of a complete SAM or SAM 2.

use anyref_decoder::{MaskDecoderConfig, PromptEncoderConfig, Sam2MaskDecoderConfig};
use anyref_vision::sam::SamVisionConfig;
use anyref_vision::sam2::Sam2VisionConfig;

use crate::{Error, Result};

/// Configuration of a [`SamModel`](super::SamModel), with its three parts.
#[derive(Debug, Clone)]
pub struct SamConfig {
    /// Configuration of the image encoder.
    pub image_encoder: SamVisionConfig,
    /// Configuration of the prompt encoder.
    pub prompt_encoder: PromptEncoderConfig,
    /// Configuration of the mask decoder.
    pub mask_decoder: MaskDecoderConfig,
}

impl SamConfig {
    /// Published decoder for an image encoder.
    fn of_encoder(image_encoder: SamVisionConfig) -> Self {
        let width = image_encoder.output_channels;
        Self {
            prompt_encoder: prompts(width, image_encoder.grid_size(), image_encoder.image_size),
            mask_decoder: MaskDecoderConfig::new().with_transformer_dim(width),
            image_encoder,
        }
    }

    /// Configuration of `sam_vit_b_01ec64.pth`.
    pub fn vit_base() -> Self {
        Self::of_encoder(SamVisionConfig::vit_base())
    }

    /// Configuration of `sam_vit_l_0b3195.pth`.
    pub fn vit_large() -> Self {
        Self::of_encoder(SamVisionConfig::vit_large())
    }

    /// Configuration of `sam_vit_h_4b8939.pth`.
    pub fn vit_huge() -> Self {
        Self::of_encoder(SamVisionConfig::vit_huge())
    }

    /// Configuration with a few thousand parameters, for tests and examples.
    pub fn tiny() -> Self {
        let image_encoder = SamVisionConfig::tiny();
        let mut config = Self::of_encoder(image_encoder);
        config.mask_decoder = MaskDecoderConfig::nano(config.image_encoder.output_channels);
        config
    }

    /// Checks that the model can be built.
    ///
    /// # Errors
    /// When a part is invalid, or two parts do not fit together.
    pub fn validate(&self) -> Result<()> {
        self.image_encoder.validate()?;
        self.prompt_encoder.validate()?;
        self.mask_decoder.validate()?;
        let encoder = &self.image_encoder;
        check_fit(
            &self.prompt_encoder,
            &self.mask_decoder,
            encoder.output_channels,
            [encoder.grid_size(), encoder.image_size],
        )
    }
}

/// Configuration of a [`SamModel`](super::SamModel) of SAM 2, with its three parts.
#[derive(Debug, Clone)]
pub struct Sam2Config {
    /// Configuration of the image encoder.
    pub image_encoder: Sam2VisionConfig,
    /// Configuration of the prompt encoder.
    pub prompt_encoder: PromptEncoderConfig,
    /// Configuration of the mask decoder.
    pub mask_decoder: Sam2MaskDecoderConfig,
}

impl Sam2Config {
    /// Published decoder for an image encoder.
    fn of_encoder(image_encoder: Sam2VisionConfig) -> Self {
        let width = image_encoder.fpn_hidden_size;
        Self {
            prompt_encoder: prompts(width, image_encoder.grid_size(), image_encoder.image_size),
            mask_decoder: Sam2MaskDecoderConfig::of_sam(
                MaskDecoderConfig::new().with_transformer_dim(width),
            ),
            image_encoder,
        }
    }

    /// Configuration of `sam2.1_hiera_tiny.pt`.
    pub fn hiera_tiny() -> Self {
        Self::of_encoder(Sam2VisionConfig::hiera_tiny())
    }

    /// Configuration of `sam2.1_hiera_small.pt`.
    pub fn hiera_small() -> Self {
        Self::of_encoder(Sam2VisionConfig::hiera_small())
    }

    /// Configuration of `sam2.1_hiera_base_plus.pt`.
    pub fn hiera_base_plus() -> Self {
        Self::of_encoder(Sam2VisionConfig::hiera_base_plus())
    }

    /// Configuration of `sam2.1_hiera_large.pt`.
    pub fn hiera_large() -> Self {
        Self::of_encoder(Sam2VisionConfig::hiera_large())
    }

    /// Configuration with a few thousand parameters, for tests and examples.
    pub fn tiny() -> Self {
        let image_encoder = Sam2VisionConfig::tiny();
        let width = image_encoder.fpn_hidden_size;
        Self {
            mask_decoder: Sam2MaskDecoderConfig::of_sam(MaskDecoderConfig::nano(width)),
            ..Self::of_encoder(image_encoder)
        }
    }

    /// Checks that the model can be built.
    ///
    /// # Errors
    /// When a part is invalid, or two parts do not fit together.
    pub fn validate(&self) -> Result<()> {
        self.image_encoder.validate()?;
        self.prompt_encoder.validate()?;
        self.mask_decoder.validate()?;
        let encoder = &self.image_encoder;
        check_fit(
            &self.prompt_encoder,
            &self.mask_decoder.sam,
            encoder.fpn_hidden_size,
            [encoder.grid_size(), encoder.image_size],
        )
    }
}

/// Published prompt encoder for an image encoder of this width, with a grid and a picture of these
/// sides.
fn prompts(width: usize, grid: usize, image_size: usize) -> PromptEncoderConfig {
    PromptEncoderConfig::new()
        .with_embed_dim(width)
        .with_image_embedding_size(grid)
        .with_input_image_size(image_size)
}

/// Rejects a prompt encoder and a mask decoder that do not match the image encoder's `channels`,
/// grid and picture side.
fn check_fit(
    prompts: &PromptEncoderConfig,
    decoder: &MaskDecoderConfig,
    channels: usize,
    [grid, image_size]: [usize; 2],
) -> Result<()> {
    let fits = [
        (prompts.embed_dim, channels),
        (decoder.transformer_dim, channels),
        (prompts.image_embedding_size, grid),
        (prompts.input_image_size, image_size),
    ];
    match fits.iter().find(|(own, encoders)| own != encoders) {
        None => Ok(()),
        Some((own, encoders)) => Err(Error::Config {
            field: "prompt_encoder",
            problem: format!(
                "and mask_decoder take {own} where image_encoder gives {encoders}: make them equal"
            ),
        }),
    }
}
