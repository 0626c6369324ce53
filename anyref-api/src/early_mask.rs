//! JSON of masks that are sent before their answers are complete.

use anyref_core::Mask;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answers::{MaskFormat, MaskOutput};

/// Mask that is sent before its answer is complete.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EarlyMaskOutput {
    /// Number of the mask among those of the answer, from 0.
    pub number: usize,
    /// Mask as the answer has it.
    #[serde(flatten)]
    pub mask: MaskOutput,
}

impl EarlyMaskOutput {
    /// Converts a mask; `None` if `format` is [`MaskFormat::None`].
    pub fn new(number: usize, mask: &Mask, format: MaskFormat) -> Option<Self> {
        let mask = MaskOutput::new(mask, format)?;
        Some(Self { number, mask })
    }
}
