//! SAM 2's mask decoder and its requirements on the prompt encoder (Ravi et al., *SAM 2: Segment
//! Anything in Images and Videos*, arXiv 2408.00714).

mod mask_decoder;
mod prompts;
mod stability;

pub use mask_decoder::{
    Sam2MaskDecoder, Sam2MaskDecoderConfig, Sam2MaskDecoderInput, Sam2MaskDecoderOutput,
};
pub use stability::Stability;
