//! SAM or SAM 2 inside of a whole model, by its configuration.

use anyref_decoder::{MaskDecoder, MaskDecoderConfig, Sam2MaskDecoder, Sam2MaskDecoderConfig};
use anyref_vision::sam::{SamImageEncoder, SamVisionConfig};
use anyref_vision::sam2::{Sam2ImageEncoder, Sam2VisionConfig};
use burn::module::Module;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Result;
use crate::part_kind;

/// Kind of SAM 2's parts in a config.
const SAM_2: &str = "sam2";

/// Configuration of a [`MaskImageEncoder`].
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one of them in a whole model")]
pub enum MaskImageEncoderConfig {
    /// Configuration of SAM's encoder.
    Sam(SamVisionConfig),
    /// Configuration of SAM 2's encoder. Pictures are squeezed to its square by a bicubic filter,
    /// as in Sa2VA.
    Sam2(Sam2VisionConfig),
}

/// Configuration of a [`MaskDecoderKind`].
#[derive(Debug, Clone)]
pub enum MaskDecoderKindConfig {
    /// Configuration of SAM's decoder.
    Sam(MaskDecoderConfig),
    /// Configuration of SAM 2's decoder. Of its masks for an object the one with the best estimated
    /// IoU is taken, as in Sa2VA.
    Sam2(Sam2MaskDecoderConfig),
}

impl From<SamVisionConfig> for MaskImageEncoderConfig {
    fn from(config: SamVisionConfig) -> Self {
        Self::Sam(config)
    }
}

impl From<MaskDecoderConfig> for MaskDecoderKindConfig {
    fn from(config: MaskDecoderConfig) -> Self {
        Self::Sam(config)
    }
}

impl Serialize for MaskImageEncoderConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sam(config) => config.serialize(serializer),
            Self::Sam2(config) => part_kind::write(serializer, SAM_2, config),
        }
    }
}

impl<'de> Deserialize<'de> for MaskImageEncoderConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match part_kind::read(deserializer, SAM_2)? {
            (false, fields) => part_kind::fields(fields).map(Self::Sam),
            (true, fields) => part_kind::fields(fields).map(Self::Sam2),
        }
    }
}

impl Serialize for MaskDecoderKindConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sam(config) => config.serialize(serializer),
            Self::Sam2(config) => part_kind::write(serializer, SAM_2, config),
        }
    }
}

impl<'de> Deserialize<'de> for MaskDecoderKindConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match part_kind::read(deserializer, SAM_2)? {
            (false, fields) => part_kind::fields(fields).map(Self::Sam),
            (true, fields) => part_kind::fields(fields).map(Self::Sam2),
        }
    }
}

impl MaskImageEncoderConfig {
    /// Configuration of SAM's encoder; `None` for SAM 2.
    pub fn sam(&self) -> Option<&SamVisionConfig> {
        match self {
            Self::Sam(config) => Some(config),
            Self::Sam2(_) => None,
        }
    }

    /// Side of the encoder's square, in pixels.
    pub fn image_size(&self) -> usize {
        match self {
            Self::Sam(config) => config.image_size,
            Self::Sam2(config) => config.image_size,
        }
    }

    /// Cells along a side of a picture's embedding.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn grid_size(&self) -> usize {
        match self {
            Self::Sam(config) => config.grid_size(),
            Self::Sam2(config) => config.grid_size(),
        }
    }

    /// Width of a picture's embedding.
    pub fn output_channels(&self) -> usize {
        match self {
            Self::Sam(config) => config.output_channels,
            Self::Sam2(config) => config.fpn_hidden_size,
        }
    }

    /// Checks that the encoder can be built.
    ///
    /// # Errors
    /// When a size is impossible, naming its field.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Sam(config) => config.validate()?,
            Self::Sam2(config) => config.validate()?,
        }
        Ok(())
    }

    /// Creates the encoder, its parameters not yet materialised.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> MaskImageEncoder<B> {
        match self {
            Self::Sam(config) => MaskImageEncoder::Sam(config.init(device)),
            Self::Sam2(config) => MaskImageEncoder::Sam2(config.init(device)),
        }
    }
}

impl MaskDecoderKindConfig {
    /// Sizes that both kinds have.
    pub fn sizes(&self) -> &MaskDecoderConfig {
        match self {
            Self::Sam(config) => config,
            Self::Sam2(config) => &config.sam,
        }
    }

    /// Checks that the decoder can be built.
    ///
    /// # Errors
    /// When a size is impossible, naming its field.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Sam(config) => config.validate()?,
            Self::Sam2(config) => config.validate()?,
        }
        Ok(())
    }

    /// Creates the decoder, its parameters not yet materialised.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> MaskDecoderKind<B> {
        match self {
            Self::Sam(config) => MaskDecoderKind::Sam(config.init(device)),
            Self::Sam2(config) => MaskDecoderKind::Sam2(config.init(device)),
        }
    }
}

/// Image encoder of a SAM.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "both forms are of one order of size"
)]
pub enum MaskImageEncoder<B: Backend> {
    /// Encoder of SAM.
    Sam(SamImageEncoder<B>),
    /// Encoder of SAM 2.
    Sam2(Sam2ImageEncoder<B>),
}

/// Mask decoder of a SAM.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "both forms are of one order of size"
)]
pub enum MaskDecoderKind<B: Backend> {
    /// Decoder of SAM.
    Sam(MaskDecoder<B>),
    /// Decoder of SAM 2.
    Sam2(Sam2MaskDecoder<B>),
}
